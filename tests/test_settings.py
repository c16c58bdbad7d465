"""Which deployment and which key: every form and place, and what is said about wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sync_tool.deployment.settings import Target, find_target, load_settings, parse_key
from sync_tool.errors import UsageError

PROD = "prod:tall-forest-123|c2VjcmV0"
DEV = "dev:fast-fox-1|c2VjcmV0"
SELF = "chat-self|0123abcd"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own settings takes part."""
    import os

    for name in list(os.environ):
        if "CONVEX" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def target(**options: str | None) -> Target:
    """Decide as a command does."""
    env_file = options.pop("env_file", None)
    return find_target(load_settings(env_file), **options)


@pytest.mark.parametrize(
    ("key", "type_", "name"),
    [
        (PROD, "prod", "tall-forest-123"),
        (DEV, "dev", "fast-fox-1"),
        ("preview:calm-cat-9|x", "preview", "calm-cat-9"),
        ("custom:calm-cat-9|x", "custom", "calm-cat-9"),
        (SELF, None, "chat-self"),
        (f"  {PROD}\n", "prod", "tall-forest-123"),
        ("anonymous-chess|01|02", None, "anonymous-chess"),
    ],
)
def test_keys_say_whose_they_are(key: str, type_: str | None, name: str) -> None:
    """Every form of a deployment's key gives its type and name; the secret is sent whole and never shown."""
    parsed = parse_key(key, "X")
    assert (parsed.type, parsed.name, parsed.secret) == (type_, name, key.strip())
    assert key.strip().partition("|")[2] not in repr(parsed)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("eyJhbGciOi.eyJzdWIi.c2ln", "login token"),
        ("Bearer abc", "login token"),
        ("project:team:shop|x", "project 'team:shop'"),
        ("preview:team:shop|x", "project 'team:shop'"),
        ("just-a-token", "no key of one deployment"),
        ("prod:tall-forest-123|", "cut off"),
        ("prod:|x", "cut off"),
        ("stage:tall-forest-123|x", "unknown type, 'stage'"),
        ("<missing_deploy_key:Add one in the settings>", "Add one in the settings"),
    ],
)
def test_what_is_no_key_is_named(key: str, said: str) -> None:
    """A user's token, a project key or half a key is refused with its kind, and without showing it."""
    with pytest.raises(UsageError) as caught:
        parse_key(key, "CONVEX_DEPLOY_KEY")
    assert said in caught.value.message
    assert "CONVEX_DEPLOY_KEY" in caught.value.message


def test_the_cloud_key_decides_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """CONVEX_URL, usually the dev deployment, is not used when the key names its deployment."""
    monkeypatch.setenv("CONVEX_DEPLOY_KEY", PROD)
    monkeypatch.setenv("CONVEX_URL", "https://fast-fox-1.convex.cloud")
    assert target() == Target(parse_key(PROD, ""), None)


def test_the_key_variable_beats_its_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """CONVEX_DEPLOY_KEY wins over CONVEX_DEPLOYMENT_TOKEN, as in the official CLI; the alias alone counts too."""
    monkeypatch.setenv("CONVEX_DEPLOYMENT_TOKEN", DEV)
    assert target().key.name == "fast-fox-1"
    monkeypatch.setenv("CONVEX_DEPLOY_KEY", PROD)
    assert target().key.name == "tall-forest-123"


def test_a_key_to_be_ignored_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The official marker for "unset" lets the self-hosted key count."""
    monkeypatch.setenv("CONVEX_DEPLOY_KEY", "<ignore_deploy_key>")
    monkeypatch.setenv("CONVEX_SELF_HOSTED_ADMIN_KEY", SELF)
    monkeypatch.setenv("CONVEX_SELF_HOSTED_URL", "https://chat.example.org/")
    assert target() == Target(parse_key(SELF, ""), "https://chat.example.org")


@pytest.mark.parametrize("prefix", ["", "NEXT_PUBLIC_", "VITE_", "PUBLIC_", "REACT_APP_", "EXPO_PUBLIC_"])
def test_the_apps_url_counts_where_nothing_else_gives_one(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """A self-hosted key without its own URL takes the app's, in every framework's spelling."""
    monkeypatch.setenv("CONVEX_SELF_HOSTED_ADMIN_KEY", SELF)
    monkeypatch.setenv(f"{prefix}CONVEX_URL", "http://127.0.0.1:3210")
    assert target().url == "http://127.0.0.1:3210"


def test_environment_then_local_then_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment beats .env.local, which beats .env; an empty value counts as unset."""
    for place, host in ((".env", "a"), (".env.local", "b")):
        Path(place).write_text(f"CONVEX_SELF_HOSTED_URL=https://{host}\nCONVEX_SELF_HOSTED_ADMIN_KEY='{SELF}'\n")
        assert target().url == f"https://{host}"
    monkeypatch.setenv("CONVEX_SELF_HOSTED_URL", "https://c")
    monkeypatch.setenv("CONVEX_SELF_HOSTED_ADMIN_KEY", SELF)
    assert target().url == "https://c"
    for name in ("CONVEX_SELF_HOSTED_URL", "CONVEX_SELF_HOSTED_ADMIN_KEY"):
        monkeypatch.setenv(name, "")
    assert target().url == "https://b"


def test_an_env_file_is_the_only_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """With --env-file neither the environment nor .env.local takes part; the variable names one too."""
    monkeypatch.setenv("CONVEX_DEPLOY_KEY", DEV)
    Path("keys.env").write_text(f'CONVEX_DEPLOY_KEY="{PROD}"\n')
    assert target(env_file="keys.env").key.name == "tall-forest-123"
    monkeypatch.setenv("CONVEX_MSGS_ENV_FILE", "keys.env")
    assert target().key.name == "tall-forest-123"


def test_a_url_that_contradicts_the_key_is_refused_naming_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key of one deployment, URL of another: neither is guessed."""
    monkeypatch.setenv("CONVEX_DEPLOY_KEY", PROD)
    with pytest.raises(UsageError, match=r"tall-forest-123.*--url.*fast-fox-1"):
        target(url="https://fast-fox-1.convex.cloud")
    monkeypatch.setenv("CONVEX_SELF_HOSTED_URL", "https://fast-fox-1.eu-west-1.convex.cloud")
    with pytest.raises(UsageError, match=r"CONVEX_SELF_HOSTED_URL.*fast-fox-1"):
        target()


def test_a_custom_domain_does_not_contradict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a cloud URL names a deployment; the own URL and any other host are taken."""
    monkeypatch.setenv("CONVEX_DEPLOY_KEY", PROD)
    assert target(url="https://api.example.org/").url == "https://api.example.org"
    assert target(url="https://tall-forest-123.convex.cloud").url == "https://tall-forest-123.convex.cloud"


@pytest.mark.parametrize(
    ("kind", "folder"),
    [("local", ".convex/local/default"), ("anonymous", ".convex/local/default"), ("local", None), ("anonymous", None)],
)
def test_a_local_deployment_is_found_by_its_key_file(tmp_path: Path, kind: str, folder: str | None) -> None:
    """`npx convex dev` without an account: port and key come from its own file, new place or old."""
    state = {"local": "convex-backend-state", "anonymous": "anonymous-convex-backend-state"}[kind]
    place = tmp_path / folder if folder else tmp_path / "home/.convex" / state / f"{kind}-chess"
    place.mkdir(parents=True)
    config = {"ports": {"cloud": 3217, "site": 3218}, "backendVersion": "x", "adminKey": "local-chess|01"}
    (place / "config.json").write_text(json.dumps(config))
    Path(".env.local").write_text(f"CONVEX_DEPLOYMENT={kind}:{kind}-chess # team: a\n")
    assert target() == Target(parse_key("local-chess|01", ""), "http://127.0.0.1:3217")


def test_a_local_deployment_without_its_file_says_how_to_start_it() -> None:
    """The key file is missing: the hint names the command and the folder."""
    Path(".env.local").write_text("CONVEX_DEPLOYMENT=local:local-chess\n")
    with pytest.raises(UsageError, match=r"\.convex/local/default/config\.json") as caught:
        target()
    assert "npx convex dev" in caught.value.hint


def test_no_key_says_where_it_looked_and_how_to_make_one() -> None:
    """The text of user (a)'s first error, line by line."""
    Path(".env.local").write_text(
        "CONVEX_DEPLOYMENT=dev:fast-fox-1 # team: t\nCONVEX_URL=https://fast-fox-1.convex.cloud\n"
    )
    with pytest.raises(UsageError) as caught:
        target()
    assert caught.value.message == "no deploy key found."
    assert caught.value.hint.splitlines() == [
        "looked in  CONVEX_DEPLOY_KEY, CONVEX_SELF_HOSTED_ADMIN_KEY, ./.env.local, ./.env",
        "found      .env.local names dev:fast-fox-1 but holds no key (the login of `npx convex` is not read)",
        "make one   npx convex deployment token create convex-msgs --prod --save-env .env.msgs",
        "then add   --env-file .env.msgs               (keep that file out of git; do not save it in .env.local)",
    ]


def test_a_key_command_gives_the_key() -> None:
    """The output of the command is the key; a failing or silent command is an error that names it."""
    assert target(key_command=f"echo '{PROD}'").key.name == "tall-forest-123"
    with pytest.raises(UsageError, match="exit code 3"):
        target(key_command="exit 3")
    with pytest.raises(UsageError, match="printed nothing"):
        target(key_command="true")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_an_env_file_that_cannot_be_read_is_said(content: bytes | None) -> None:
    """A missing or binary env file is an error with its name, not a missing key."""
    if content is not None:
        Path("a.env").write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.env"):
        target(env_file="a.env")


@pytest.mark.parametrize("url", ["chat.example.org", "ftp://x", "https://", "https://u:p@x.org"])
def test_a_url_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """No scheme, no host, a password: each is refused before anything is sent."""
    monkeypatch.setenv("CONVEX_SELF_HOSTED_ADMIN_KEY", SELF)
    with pytest.raises(UsageError, match="URL"):
        target(url=url)


def test_a_self_hosted_key_without_url_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """An admin key does not say where its deployment is."""
    monkeypatch.setenv("CONVEX_SELF_HOSTED_ADMIN_KEY", SELF)
    with pytest.raises(UsageError, match="no URL"):
        target()


@pytest.mark.parametrize("url", ["user:pa55@host", "http://me:pa55@host", "http://[::1", "http://h:99999", "ftp://h"])
def test_a_url_that_is_none_is_said_without_its_login(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands before an @ may be a password."""
    monkeypatch.setenv("CONVEX_DEPLOY_KEY", PROD)
    with pytest.raises(UsageError, match="URL") as caught:
        target(url=url)
    assert "pa55" not in caught.value.message + caught.value.hint


def test_a_key_command_that_prints_bytes_is_said() -> None:
    """Output that is no text, or a key with letters that no header can carry, are wrong in their own words."""
    with pytest.raises(UsageError, match="not text"):
        target(key_command=r"printf '\377'")
    with pytest.raises(UsageError, match="cut off"):
        target(key_command="echo 'prod:tall-forest-123|…'")
