"""Which sessions there are, who writes them in which style, and when."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Session:
    """One session told with dialogues.

    `scenes` names scenes ("file:name", "file:*" for all of a file). `fill` names files whose
    scenes are added until there are `rows` messages; then the last of `scenes` closes the session.
    `last` is the time of the last human message. `writes` says how the messages were written:
    "each" in a mutation of its own when the reply is there, "pair" an exchange per mutation,
    "live" as people type, "bulk" all in one mutation.
    """

    id: str
    style: str
    first: str
    scenes: tuple[str, ...] = ()
    last: str | None = None
    fill: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    rows: int = 0
    person: str = "Jo"
    order_prefix: str = "B"
    writes: str = "each"
    clock: str = ""
    first_two_tie: bool = False
    staff_names: bool = False


JIM_LEAVES_OUT = ("wedding", "allergy", "complaint", "repair", "grinder", "late-parcel", "q32")
LONG_ID = (
    "https://leaflet.kettle-and-crane.example/spring?utm_source=paper&utm_medium=letterbox"
    "&utm_campaign=three-for-two&utm_content=tea-tins-on-the-back-page&district=great-hollin"
    "&printed=2026-02-17&edition=4&fold=z&colour=moss&walked-by=lewis&umbrella=yes"
    "&note=please-ring-the-bell-of-the-blue-door-if-the-letterbox-is-full"
)

SESSIONS = (
    Session(
        "cust-4",
        "bare",
        "2026-01-12T09:20Z",
        ("people.txt:marta-hello", "people.txt:marta-bye"),
        last="2026-06-03T16:44Z",
        fill=("scenes.txt", "quick.txt"),
        leave_out=("q28",),
        rows=58,
        person="Marta",
        order_prefix="C",
    ),
    Session(
        "cust-17",
        "openai",
        "2026-01-09T08:05Z",
        ("people.txt:17-hello", "people.txt:17-marmalade", "people.txt:17-last"),
        last="2026-08-22T08:52Z",
        fill=("scenes.txt", "quick.txt"),
        leave_out=("q28", "complaint", "allergy"),
        rows=64,
        person="Noor",
    ),
    Session(
        "cust-42",
        "openai",
        "2026-08-01T10:02Z",
        ("jim.txt:*",),
        last="2026-08-22T09:14Z",
        fill=("scenes.txt", "quick.txt"),
        leave_out=JIM_LEAVES_OUT,
        rows=412,
        person="Jim",
        order_prefix="A",
    ),
    Session(
        "cust-421",
        "openai-1",
        "2026-03-10T07:30Z",
        ("people.txt:421-start", "people.txt:421-end"),
        last="2026-07-09T14:12Z",
        fill=("scenes.txt",),
        leave_out=("wedding", "password", "allergy", "recipe", "wrong-item"),
        rows=44,
        person="Bram",
        order_prefix="M",
    ),
    Session(
        "cust-88",
        "bare",
        "2026-05-13T11:00Z",
        ("people.txt:88-race",),
        order_prefix="E",
        first_two_tie=True,
    ),
    Session(
        "cust-1203",
        "plain",
        "2026-01-05T10:10Z",
        ("people.txt:petra-hello", "people.txt:petra-bye"),
        last="2026-02-27T18:20Z",
        fill=("scenes.txt", "quick.txt"),
        leave_out=("q28",),
        rows=40,
        person="Petra",
        order_prefix="D",
    ),
    Session(
        "harbour street/desk",
        "openai",
        "2026-01-05T08:55Z",
        last="2026-08-20T16:31Z",
        fill=("desk.txt",),
        rows=1212,
        person="Ines",
        order_prefix="S",
        staff_names=True,
    ),
    Session(
        "team a/chat 1",
        "openai",
        "2026-08-17T07:58Z",
        ("team.txt:1-monday", "team.txt:1-prices", "team.txt:1-window", "team.txt:1-last"),
        last="2026-08-21T19:03Z",
        writes="live",
    ),
    Session("team a/chat 2", "openai", "2026-08-18T11:40Z", ("team.txt:2-chat",), writes="live"),
    Session(
        "3f1c2f6e-8a57-4d0e-9b3a-5b7f0c9d2e41",
        "anthropic",
        "2026-02-03T12:00Z",
        ("people.txt:callum-hello", "people.txt:callum-bye"),
        last="2026-05-30T20:15Z",
        fill=("scenes.txt", "quick.txt"),
        leave_out=("q28",),
        rows=60,
        person="Callum",
        order_prefix="P",
    ),
    Session(
        "9a40d1b7-0c62-4f5e-8d11-aa6e3c5b7f08",
        "google",
        "2026-03-19T15:45Z",
        ("people.txt:mei-hello", "people.txt:mei-bye"),
        last="2026-04-28T09:05Z",
        fill=("scenes.txt", "quick.txt"),
        leave_out=("q28", "complaint", "broken"),
        rows=40,
        person="Mei",
        order_prefix="Q",
    ),
    Session(
        "c5d80e92-77ab-4c1f-a2f4-1e9b6d3057ca",
        "py-ollama",
        "2026-06-14T18:00Z",
        ("people.txt:idris-hello", "people.txt:idris-bye"),
        last="2026-07-02T21:10Z",
        fill=("scenes.txt", "quick.txt"),
        leave_out=("q28",),
        rows=36,
        person="Idris",
        order_prefix="R",
        writes="pair",
    ),
    Session(
        "py-2041",
        "py-openai",
        "2026-04-06T08:00Z",
        ("people.txt:adaeze-hello", "people.txt:adaeze-bye"),
        last="2026-07-25T17:50Z",
        fill=("scenes.txt", "quick.txt"),
        leave_out=("q28",),
        rows=72,
        person="Adaeze",
        order_prefix="Y",
        writes="pair",
    ),
    Session(
        "py-2042 (streamed)",
        "py-stream",
        "2026-07-26T08:00Z",
        ("scenes.txt:care-iron", "scenes.txt:matcha", "quick.txt:q45"),
        last="2026-07-28T19:30Z",
        writes="pair",
    ),
    Session("import 2025", "bare", "2026-01-02T06:00Z", ("people.txt:import-2025",), writes="bulk"),
    Session("jim-quickstart", "plain", "2026-01-08T13:00Z", ("people.txt:jim-quickstart",)),
    Session(" ", "bare", "2026-02-11T10:30Z", ("people.txt:space",)),
    Session("../etc/passwd", "bare", "2026-02-12T22:17Z", ("people.txt:etc-passwd",)),
    Session("red\n\x1b[31mline", "bare", "2026-02-13T15:00Z", ("people.txt:red-line",)),
    Session(LONG_ID, "bare", "2026-02-20T17:25Z", ("people.txt:long-id",)),
    # The two guests share a clock: their messages have equal creation times.
    Session("guest", "bare", "2026-03-03T12:12Z", ("people.txt:guest-lower",), clock="guest"),
    Session("Guest", "bare", "2026-03-03T12:12Z", ("people.txt:guest-upper",), clock="guest"),
    # One é is a letter of its own, the other an e and a combining accent.
    Session("caf\u00e9", "bare", "2026-03-05T09:00Z", ("people.txt:nfc",), order_prefix="K"),
    Session("cafe\u0301", "bare", "2026-03-05T09:30Z", ("people.txt:nfd",), order_prefix="K"),
    Session(
        "زبون-٣١",
        "openai",
        "2026-04-14T13:20Z",
        ("languages.txt:ar-1", "languages.txt:ar-2"),
        last="2026-04-19T10:00Z",
    ),
    Session(
        "cust-he-12",
        "openai",
        "2026-04-15T08:10Z",
        ("languages.txt:he-1", "languages.txt:he-2"),
        last="2026-04-20T18:40Z",
    ),
    Session("お客様-5", "openai", "2026-04-21T02:15Z", ("languages.txt:ja-1",)),
    Session("cust-zh-8", "openai", "2026-04-22T03:40Z", ("languages.txt:zh-1",)),
    Session("käufer-straße ☕", "bare", "2026-04-23T14:00Z", ("languages.txt:de-1",)),
    Session(
        "more scripts",
        "bare",
        "2026-04-24T06:30Z",
        ("languages.txt:viet", "languages.txt:hindi"),
        last="2026-04-26T07:15Z",
    ),
    Session("👩‍👩‍👧‍👦 family", "openai", "2026-06-21T10:00Z", ("languages.txt:emoji-1",)),
)
