"""Choice of the deployment and its key, from flags, environment, env files, and the key itself.

The rules are those of the official CLI (``npm-packages/convex/src/cli/lib/deploymentSelection.ts``), and stricter in
two respects: a URL that contradicts the key is refused, and a key goes only with an address from the same place.
A folder that was cloned from somebody thus never decides to which host a key of the environment is sent.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dotenv import dotenv_values

from sync_tool.deployment.loopback import is_loopback
from sync_tool.errors import UsageError

# Formats of deploy and admin keys: get-convex/convex-backend,
# ``npm-packages/docs/docs/cli/deploy-key-types.mdx`` and ``crates/common/src/types/admin_key.rs``.

_CLOUD_TYPES: Final = ("prod", "dev", "preview", "custom")
_JWT = re.compile(r"^eyJ[\w-]+\.[\w-]+\.[\w-]*$")
_PLACEHOLDER = re.compile(r"^<missing_deploy_key:(.*)>$", re.DOTALL)
_MAKE_ONE: Final = ("make one", "npx convex deployment token create convex-msgs --prod --save-env .env.msgs")


@dataclass(frozen=True, slots=True)
class Key:
    """A key that may act as administrator of one deployment."""

    secret: str = field(repr=False)
    """The whole key, as it is sent. Never shown."""
    type: str | None
    """``prod``, ``dev``, ``preview`` or ``custom`` for Convex cloud; None for self-hosted and local."""
    name: str
    """The deployment (instance) that the key belongs to."""

    @property
    def label(self) -> str:
        """The key without its secret, for messages."""
        return f"{self.type}:{self.name}" if self.type else self.name


def parse_key(text: str, origin: str) -> Key:
    """Read a key.

    Args:
        text: the key, with or without white space around it.
        origin: its place, for messages, such as ``CONVEX_DEPLOY_KEY``.

    Raises:
        UsageError: it is another kind of token; the message names it.
    """
    text = text.strip()
    placeholder = _PLACEHOLDER.match(text)
    if placeholder:
        raise UsageError(f"{origin} holds no key: {placeholder[1]}")
    if _JWT.match(text) or text.lower().startswith("bearer "):
        raise _not_a_key(origin, "a user's login token (a JWT), which cannot read other people's messages")
    head, bar, secret = text.partition("|")
    parts = head.split(":")
    if not bar:
        raise _not_a_key(origin, "no key of one deployment: those have the form name|secret (quote the '|')")
    if not secret or not parts[-1] or " " in text or not (text.isascii() and text.isprintable()):
        raise _not_a_key(origin, "cut off: a name and a secret belong around the '|' (quote it in the shell)")
    if parts[0] == "project" or len(parts) > 2:
        raise _not_a_key(origin, f"a key of the project {':'.join(parts[1:])!r}; it names no deployment")
    if len(parts) == 2 and parts[0] not in _CLOUD_TYPES:
        raise _not_a_key(origin, f"of an unknown type, {parts[0]!r}")
    return Key(secret=text, type=parts[0] if len(parts) == 2 else None, name=parts[-1])


def _not_a_key(origin: str, what: str) -> UsageError:
    return UsageError(
        f"the key in {origin} is {what}.",
        hint=[
            ("needed", "a deploy key (Convex cloud) or an admin key (self-hosted)"),
            _MAKE_ONE,
            ("self-hosted", "./generate_admin_key.sh in the backend's container"),
        ],
    )


_KEY_VARIABLES: Final = ("CONVEX_DEPLOY_KEY", "CONVEX_DEPLOYMENT_TOKEN")
_ADMIN_KEY: Final = "CONVEX_SELF_HOSTED_ADMIN_KEY"
_SELF_HOSTED_URL: Final = "CONVEX_SELF_HOSTED_URL"
_APP_URL_PREFIXES: Final = ("", "NEXT_PUBLIC_", "VITE_", "PUBLIC_", "REACT_APP_", "EXPO_PUBLIC_")
_URL_VARIABLES: Final = (_SELF_HOSTED_URL, *(f"{prefix}CONVEX_URL" for prefix in _APP_URL_PREFIXES))
_PROVISION_HOST: Final = "CONVEX_PROVISION_HOST"
_ALLOW_HTTP: Final = "CONVEX_MSGS_ALLOW_HTTP"
_IGNORED_KEY: Final = "<ignore_deploy_key>"
_KEY_COMMAND_SECONDS: Final = 60
_ENVIRONMENT: Final = "environment"
_ARGUMENT: Final = "the argument 'key'"
_COMMAND: Final = "--key-command"
_IMPLICIT: Final = (_ENVIRONMENT, ".env.local", ".env")
_log = logging.getLogger(__name__)
_USERS_OWN: Final = (_ENVIRONMENT, _ARGUMENT, _COMMAND)
"""Places that only the user fills; every other place is a file, perhaps of a cloned folder."""


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment and the key to it."""

    key: Key
    url: str | None
    """Base URL without a trailing slash; None if only the key says where (ask `provisioning_host`)."""
    provisioning_host: str = "https://api.convex.dev"
    origin: str = field(default="", compare=False)
    """Place of the key, unless the user named it: an env file, an argument, a command."""

    def announce(self) -> None:
        """Log the destination of a key that was not named on the command line, before the first request with it."""
        if self.origin:
            _log.info("the key from %s goes to %s", self.origin, self.url or f"Convex, for {self.key.label}")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that is set, and the place where it was found."""

    name: str
    value: str
    place: str

    @property
    def origin(self) -> str:
        """Name and place, for messages."""
        if self.place in (_ARGUMENT, _COMMAND):
            return self.place
        return self.name if self.place == _ENVIRONMENT else f"{self.name} of {self.place}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Variables of the environment and of env files, by the place where they were found."""

    places: Mapping[str, Mapping[str, str]] = field(repr=False)
    """Variables by place, without empty ones; the first place that has a variable wins."""
    looked_in: tuple[str, ...] = ()
    directory: Path = field(default_factory=Path.cwd)

    def find(self, names: Iterable[str], places: Iterable[str] | None = None) -> Variable | None:
        """Return the first of several variables that is set in one of `places` (None: anywhere)."""
        order = [place for place in self.places if places is None or place in places]
        for name in names:
            for place in order:
                if name in self.places[place]:
                    return Variable(name, self.places[place][name], place)
        return None

    def with_key(self, key: str) -> Settings:
        """Return settings in which `key` is the one that counts."""
        keys = (*_KEY_VARIABLES, _ADMIN_KEY)
        others = {
            place: {name: value for name, value in values.items() if name not in keys}
            for place, values in self.places.items()
        }
        return Settings({_ARGUMENT: {_KEY_VARIABLES[0]: key}, **others}, self.looked_in, self.directory)

    def precedes(self, one: str, other: str) -> bool:
        """Return whether the variables of one place beat those of another."""
        order = list(self.places)
        return one in order and other in order and order.index(one) < order.index(other)


def load_settings(env_file: str | Path | None = None, directory: Path | None = None) -> Settings:
    """Gather the variables: from `env_file` alone, else the environment, then ``.env.local``, then ``.env``.

    Args:
        env_file: a file of ``NAME=value`` lines; also named by ``CONVEX_MSGS_ENV_FILE``.
        directory: where ``.env.local`` and ``.env`` are looked for; the working directory if None.

    Raises:
        UsageError: the file cannot be read.
    """
    directory = directory or Path.cwd()
    env_file = env_file or os.environ.get("CONVEX_MSGS_ENV_FILE") or None
    if env_file:
        path = Path(env_file).expanduser()
        return Settings({str(env_file): _set(_read_env_file(path))}, (str(env_file),), directory)
    places = {_ENVIRONMENT: _set(os.environ)}
    for name in (".env.local", ".env"):
        if (directory / name).is_file():
            places[name] = _set(_read_env_file(directory / name))
    return Settings(places, (_KEY_VARIABLES[0], _ADMIN_KEY, "./.env.local", "./.env"), directory)


def find_target(settings: Settings, url: str | None = None, key_command: str | None = None) -> Target:
    """Choose the deployment.

    Args:
        settings: the variables, from `load_settings`.
        url: a URL given by hand; beats every variable, but may not contradict the key.
        key_command: a shell command whose standard output is the key; beats every variable.

    Raises:
        UsageError: no key, a token that is no key, no URL, a URL of another deployment than the key's, or a URL from
            another place than the key.
    """
    url = clean_url(url) if url else None
    found = _find_key(settings, key_command)
    if found is None:
        local = _local_deployment(settings)
        if local is None:
            raise _no_key(settings)
        return Target(local.key, url or local.url)
    key = parse_key(found.value, found.origin)
    origin = found.origin if found.place in _IMPLICIT and _ENVIRONMENT in settings.places else ""
    if url:
        _refuse_contradiction(key, url, "--url")
        return Target(key, url, origin=origin)
    if key.type is None:
        return Target(key, _find_url(settings, found), origin=origin)
    own = settings.find([_SELF_HOSTED_URL])
    if own:
        _refuse_contradiction(key, own.value, own.origin)
    return Target(key, None, _find_provisioning_host(settings, found), origin)


def _find_key(settings: Settings, key_command: str | None) -> Variable | None:
    """Return the key of the first place that has one; in each place the kinds of keys have their order."""
    if key_command:
        return Variable(_KEY_VARIABLES[0], _run_key_command(key_command), _COMMAND)
    ignored = set()
    for place, values in settings.places.items():
        for name in (*_KEY_VARIABLES, _ADMIN_KEY):
            text = values.get(name, "").strip()
            if text == _IGNORED_KEY:
                ignored.add(name)
            elif text and name not in ignored:
                return Variable(name, text, place)
    return None


def _find_url(settings: Settings, key: Variable) -> str:
    """Return the URL of a self-hosted or local deployment, whose key does not contain it."""
    own = settings.find(_URL_VARIABLES, _beside(key))
    if own is None:
        other = settings.find(_URL_VARIABLES)
        if other is not None:
            raise _from_elsewhere(key, other)
        raise UsageError(
            "no URL: this key is of a self-hosted deployment and does not say where that is.",
            hint=[("set", f"{_SELF_HOSTED_URL}, or give --url https://…")],
        )
    url = clean_url(own.value)
    chosen = settings.find([_SELF_HOSTED_URL])  # it beats variables of later places
    if chosen and settings.precedes(chosen.place, own.place) and clean_url(chosen.value) != url:
        raise _from_elsewhere(key, chosen)
    return url


def _find_provisioning_host(settings: Settings, key: Variable) -> str:
    """Return the host that knows the URL of a cloud deployment; the request to it carries the key."""
    host = settings.find([_PROVISION_HOST], {_ENVIRONMENT, *_beside(key)})
    if host is None:
        other = settings.find([_PROVISION_HOST])
        if other is not None:
            raise _from_elsewhere(key, other)
    return clean_url(host.value if host else "https://api.convex.dev")


def _beside(key: Variable) -> tuple[str, ...]:
    """Return the places whose addresses may go with a key."""
    return (_ENVIRONMENT,) if key.place in _USERS_OWN else (key.place,)


def _from_elsewhere(key: Variable, address: Variable) -> UsageError:
    place = _ENVIRONMENT if key.place in _USERS_OWN else key.place
    action = f"set {address.name} in {_shown(place)} and nowhere else"
    return UsageError(
        f"the key is from {key.origin}, but the address from {address.origin}: "
        "a key is sent only to an address from the same place.",
        hint=[("either", f"give --url, or {action}"), ("or", f"use a key that stands in {_shown(address.place)}")],
    )


def _shown(place: str) -> str:
    return "the environment" if place == _ENVIRONMENT else place


def clean_url(url: str) -> str:
    """Return a base URL without a trailing slash.

    Raises:
        UsageError: it is none, holds a user or a password, or would carry a key in clear over a network.
    """
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        shown = f"…@{url.rpartition('@')[2]}" if "@" in url else url  # what is before it may be a password
        raise UsageError(f"{shown!r} is not the URL of a deployment.", hint=[("like", "https://NAME.convex.cloud")])
    if "@" in parts.netloc:
        raise UsageError("the URL holds a user or a password; keys belong into the environment or an env file.")
    if parts.scheme == "http" and not is_loopback(url.strip()) and not _http_allowed():
        raise UsageError(
            f"http:// to {parts.netloc} would send the key in clear.",
            hint=[("use", "https://"), ("or", f"{_ALLOW_HTTP}=1, where the network between is your own")],
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _http_allowed() -> bool:
    return os.environ.get(_ALLOW_HTTP, "").strip().lower() in ("1", "true", "yes", "on")


def cloud_name(url: str) -> str | None:
    """Return the deployment that a Convex cloud URL names; None for a custom domain or another host."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return None
    return host.split(".")[0] if host.endswith((".convex.cloud", ".convex.site")) else None


def _refuse_contradiction(key: Key, url: str, origin: str) -> None:
    named = cloud_name(url)
    if named is not None and named != key.name:
        raise UsageError(
            f"the key is of {key.label}, but {origin} names {named}.",
            hint=[
                ("either", f"leave out {origin}: the key names its deployment"),
                ("or", f"use a key of {named}"),
            ],
        )


def _local_deployment(settings: Settings) -> Target | None:
    """Return the deployment that `npx convex dev` runs on this machine, if it is selected."""
    deployment = settings.find(["CONVEX_DEPLOYMENT"])
    selected = deployment.value if deployment else ""
    kind, _, name = selected.partition("#")[0].strip().partition(":")
    if kind not in ("local", "anonymous"):
        return None
    legacy = "convex-backend-state" if kind == "local" else "anonymous-convex-backend-state"
    for folder in (settings.directory / ".convex/local/default", Path.home() / ".convex" / legacy / name):
        config = folder / "config.json"
        if config.is_file():
            return _read_local_config(config)
    raise UsageError(
        f"{selected} is a local deployment, but its key file .convex/local/default/config.json is not here.",
        hint=[("start it", "npx convex dev   (in the project's folder, and run this there too)")],
    )


def _read_local_config(path: Path) -> Target:
    try:
        config = json.loads(path.read_text())
        key, port = str(config["adminKey"]), int(config["ports"]["cloud"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} does not hold a port and an admin key: {error!r}") from None
    return Target(parse_key(key, str(path)), f"http://127.0.0.1:{port}")


def _no_key(settings: Settings) -> UsageError:
    deployment = settings.find(["CONVEX_DEPLOYMENT"])
    hint = [("looked in", ", ".join(settings.looked_in))]
    named = deployment.value.partition("#")[0].strip() if deployment else ""
    if deployment and named:
        found = f"{deployment.place} names {named} but holds no key (the login of `npx convex` is not read)"
        hint.append(("found", found))
    hint += [
        ("make one", "npx convex deployment token create convex-msgs --prod --save-env .env.msgs"),
        (
            "then add",
            "--env-file .env.msgs               (keep that file out of git; do not save it in .env.local)",
        ),
    ]
    return UsageError("no deploy key found.", hint=hint)


def _run_key_command(command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S602  # the user's own command, as in RESTIC_PASSWORD_COMMAND
            command, shell=True, check=True, text=True, stdout=subprocess.PIPE, timeout=_KEY_COMMAND_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise UsageError(f"--key-command ended with exit code {error.returncode}.") from None
    except UnicodeDecodeError:
        raise UsageError("--key-command printed something that is not text.") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"--key-command gave no key within {_KEY_COMMAND_SECONDS} s.") from None
    if not done.stdout.strip():
        raise UsageError("--key-command printed nothing.")
    return done.stdout


def _read_env_file(path: Path) -> dict[str, str | None]:
    try:
        with path.open(encoding="utf-8") as stream:
            return dotenv_values(stream=stream, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"cannot read the env file {path}: {reason}.") from None


def _set(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value and value.strip()}
