"""The invented shop: what it sells, where, and the people who ask."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from recipe.canonical import Dice


@dataclass(frozen=True)
class Product:
    """One thing on the shelf."""

    name: str
    sku: str
    price: int
    care: str
    parts: tuple[str, ...]


DRY = "Wash by hand, dry at once."
OIL = "Hot water, no soap if you can help it, one thin film of oil."
ANY = "Goes in the dishwasher, upper rack."
SOFT = "Wash at 40 degrees, hang up wet, iron if you must."

PRODUCTS = (
    Product("hammered copper kettle", "KET-COPP-15", 64, DRY, ("lid knob", "handle screw")),
    Product("Tern steel kettle", "KET-TERN-16", 52, DRY, ("whistle valve", "rubber ring")),
    Product("Marsh enamel kettle", "KET-MARS-15", 39, DRY, ("lid", "wooden grip")),
    Product("Dunlin teapot 1 l", "POT-DUNL-10", 34, ANY, ("lid", "bamboo handle")),
    Product("Plover teapot 0.6 l", "POT-PLOV-06", 27, ANY, ("lid", "strainer")),
    Product("stoneware milk jug", "JUG-STON-03", 14, ANY, ("cork lid",)),
    Product("blue-rim soup bowl", "BOW-BLUE-06", 12, ANY, ("felt pad",)),
    Product("narwhal mug", "MUG-NARW-03", 13, ANY, ("cork coaster",)),
    Product("black enamel mug", "MUG-BLACK-03", 9, DRY, ("hook",)),
    Product("Curlew skillet 28 cm", "PAN-CURL-28", 58, OIL, ("lid", "leather grip")),
    Product("Curlew skillet 20 cm", "PAN-CURL-20", 37, OIL, ("leather grip",)),
    Product("Siskin crêpe pan", "PAN-SISK-24", 33, OIL, ("spreader",)),
    Product("small milk pan", "PAN-MILK-08", 26, DRY, ("handle rivet",)),
    Product("big braising pan", "PAN-BRAI-45", 119, OIL, ("lid", "lid knob")),
    Product("beech board", "BRD-BEEC-40", 29, "Never the dishwasher; oil twice a year.", ("foot",)),
    Product("bread knife", "KNF-BREA-22", 31, DRY, ("sheath", "handle rivet")),
    Product("paring knife", "KNF-PARI-08", 12, DRY, ("sheath",)),
    Product("Wren moka pot, 3 cups", "MOK-WREN-3", 28, DRY, ("gasket", "funnel", "safety valve")),
    Product("hand grinder", "GRI-HAND-01", 47, "Brush only, no water.", ("crank nut", "bearing")),
    Product("French press 1 l", "PRE-FREN-10", 36, ANY, ("glass", "mesh")),
    Product("Gull storage jar 0.7 l", "JAR-GULL-07", 8, ANY, ("rubber ring", "wire")),
    Product("kitchen scale", "SCA-KITC-05", 24, "Wipe, never rinse.", ("battery door",)),
    Product("linen tea cosy", "COS-LINE-01", 19, SOFT, ("loop",)),
    Product("linen tea towel", "TOW-LINE-02", 11, SOFT, ("loop",)),
    Product("steel flask 0.75 l", "FLA-STEE-07", 32, DRY, ("stopper", "cup")),
    Product("matcha whisk", "WHI-MATC-01", 17, "Rinse, let it dry on its stand.", ("stand",)),
)
POTS = tuple(item for item in PRODUCTS if item.sku.startswith(("POT", "JUG", "BOW")))
PANS = tuple(item for item in PRODUCTS if item.sku.startswith(("PAN", "KET")))

BRANCHES = ("Harbour Street", "Mill Lane", "Old Square", "Station Arcade")
STAFF = ("Ines", "Sam", "Priya", "Tom", "Agnieszka", "Lewis")
FRIENDS = ("Rosa", "Idris", "Mei", "Callum", "Saoirse", "Jonas", "Adaeze", "Petra", "Yusuf")
CITIES = ("Fallow Cross", "Netherby", "Port Sallow", "Great Hollin", "Wickmoor")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
SUPPLIERS = ("Brandt Enamel", "Oakhurst Boards", "Kiln & Sons", "Northwick Iron", "Lin de Mer")
LOST = ("red umbrella", "child's mitten", "library book", "bunch of keys", "pair of reading glasses", "hat")
STATUSES = ("placed", "packed", "shipped", "in_transit", "ready for collection", "delivered")
TEAS = (
    "First Flush from the small garden",
    "Smoky Harbour",
    "Earl Grey with cornflower",
    "roasted oolong",
    "Quiet Winter",
    "lemon balm from Priya's balcony",
)
PHRASES = (
    ("French", "« épuisé » / « merci beaucoup »"),
    ("Polish", "„wyprzedane” / „dziękuję bardzo”"),
    ("Portuguese", "«esgotado» / «muito obrigado»"),
    ("Turkish", "“tükendi” / “çok teşekkürler”"),
    ("Greek", "«εξαντλήθηκε» / «ευχαριστώ πολύ»"),
    ("Ukrainian", "«розпродано» / «дуже дякую»"),
    ("Korean", "품절 / 감사합니다"),
)


def slots(dice: Dice, at_ms: float, person: str, order_prefix: str) -> dict[str, Any]:
    """Return words and figures for one scene that takes place at `at_ms`."""
    when = datetime.fromtimestamp(at_ms / 1000, UTC)
    product, other = dice.shuffled(PRODUCTS)[:2]
    pot = dice.pick(POTS)
    branch, branch2 = dice.shuffled(BRANCHES)[:2]
    staff, staff2 = dice.shuffled(STAFF)[:2]
    lang, phrase = dice.pick(PHRASES)
    mail = f"{person.lower()}@mail.example"
    number = dice.between(6, 38)
    return {
        "product": product.name,
        "sku": product.sku,
        "price": product.price,
        "care": product.care,
        "part": dice.pick(product.parts),
        "product2": other.name,
        "sku2": other.sku,
        "price2": other.price,
        "cheaper": min(product, other, key=lambda item: item.price).name,
        "pot": pot.name,
        "potsku": pot.sku,
        "potprice": pot.price,
        "pan": dice.pick(PANS).name,
        "branch": branch,
        "branch2": branch2,
        "staff": staff,
        "staff2": staff2,
        "lang": lang,
        "phrase": phrase,
        "name": person,
        "customer": f"{order_prefix}-{len(person) * 37 + 1000}",
        "email": mail,
        "email_masked": f"{mail[0]}***@mail.example",
        "friend": dice.pick([name for name in FRIENDS if name != person]),
        "order": f"{order_prefix}-{dice.between(40, 399)}",
        "n": number,
        "n2": number + dice.between(1, 9),
        "n3": dice.between(104, 989),
        "n4": dice.between(1024, 9890),
        "r": dice.between(2, 5),
        "k": dice.between(3, 9),
        "pence": f"{dice.between(1, 6)}.{dice.between(1, 9)}0",
        "weeks": dice.between(3, 6),
        "date": (when + timedelta(days=dice.between(4, 20))).strftime("%Y-%m-%d"),
        "past": (when - timedelta(days=dice.between(4, 20))).strftime("%d.%m."),
        "few": dice.between(7, 23),
        "weekday": dice.pick(WEEKDAYS),
        "close": dice.pick(("16:00", "17:00", "18:00")),
        "city": dice.pick(CITIES),
        "status": dice.pick(STATUSES),
        "supplier": dice.pick(SUPPLIERS),
        "lost": dice.pick(LOST),
        "tea": dice.pick(TEAS),
    }
