"""Addresses of stores: where they come from, what they name, and that no password stands in a command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from sync_tool.errors import UsageError
from sync_tool.text import one_line

_VARIABLE: Final = "env:"
_SECRET_WORDS: Final = ("pass", "pwd", "secret", "token", "auth_value")
_NO_PASSWORD_HINT: Final = (("put it", "into a variable, and give env:NAME, or env:NAME#table"),)


@dataclass(frozen=True, slots=True)
class Address:
    """An address taken apart."""

    scheme: str
    """In small letters, without the driver: ``postgresql`` of ``postgresql+psycopg2``."""
    url: str
    """The address without the part behind ``#``. May hold a password: never shown."""
    part: str | None
    """The part behind ``#``: a table, a collection, a prefix of keys."""
    place: str
    """Host, port and path, without user and password, for people."""


def spell_out(address: str, environment: Mapping[str, str] | None = None) -> tuple[str, str | None]:
    """Return an address, or the one that ``env:NAME`` or ``env:NAME#part`` stands for, and that part.

    Args:
        address: any address; a password in it is refused.
        environment: the variables; the process's own if None.

    Raises:
        UsageError: a password in it, or no such variable.
    """
    if not address.startswith(_VARIABLE):
        _refuse_password(address)
        return address, None
    name, _, part = address.removeprefix(_VARIABLE).partition("#")
    held = (os.environ if environment is None else environment).get(name)
    if not held:
        raise UsageError(f"env:{one_line(name)}: there is no variable {name!r}, or it is empty.")
    return held.strip(), part or None


def read_address(address: str, environment: Mapping[str, str] | None = None) -> Address | None:
    """Take an address apart; None if it is no URL (then it is a path, or something else).

    Args:
        address: a URL without a password, or ``env:NAME``, or ``env:NAME#part``.
        environment: the variables; the process's own if None.

    Raises:
        UsageError: a password in it, no such variable, or a URL that cannot be read.
    """
    return _taken_apart(*spell_out(address, environment))


def _taken_apart(address: str, part: str | None) -> Address | None:
    if "://" not in address:
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        raise _unreadable(address) from None
    if "@" in parts.path + parts.query + parts.fragment and parts.scheme != "sqlite":
        raise _unreadable(address)  # a / ? or # in a password ends the part where passwords stand
    place = parts.netloc.rpartition("@")[2]
    return Address(
        scheme=parts.scheme.partition("+")[0] if parts.scheme != "mongodb+srv" else parts.scheme,
        url=urlunsplit(parts._replace(fragment="")) if parts.netloc else address.partition("#")[0],
        part=part or unquote(parts.fragment) or None,
        place=one_line(place + unquote(parts.path)),
    )


def _unreadable(address: str) -> UsageError:
    scheme = address.partition("://")[0]
    return UsageError(
        f"the address {one_line(scheme)}://… cannot be read.",
        hint=[("everywhere", "write @ as %40"), ("in a password", "write : / # ? % as %3A %2F %23 %3F %25")],
    )


def _refuse_password(address: str) -> None:
    """Refuse a URL with a password, wherever drivers take one: beside the user, or among the options."""
    _, found, rest = address.partition("://")
    if not found:
        return
    user, has_user, _ = rest.partition("@")
    named = [key.lower() for key, _ in parse_qsl(rest.partition("?")[2].partition("#")[0], keep_blank_values=True)]
    if (has_user and ":" in user) or any(word in key for key in named for word in _SECRET_WORDS):
        raise UsageError("an address with a password does not belong on a command line.", hint=_NO_PASSWORD_HINT)
