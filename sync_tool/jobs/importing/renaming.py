"""Session ids changed on the way."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sync_tool.errors import UsageError


class Renaming:
    """Gives sessions the ids that they shall have in the target.

    Args:
        exact: ``OLD=NEW`` each; the first ``=`` divides unless OLD holds one, then write ``OLD==NEW``.
        patterns: ``PATTERN=REPLACEMENT`` each, a regular expression that is searched in the id, tried in order
            on ids that no exact rule names; ``\\1`` in the replacement is its first group.

    Raises:
        UsageError: a rule that cannot be read.
    """

    def __init__(self, exact: Sequence[str] = (), patterns: Sequence[str] = ()) -> None:
        self._exact = dict(_divided(rule, "--rename") for rule in exact)
        self._patterns = [_pattern(rule) for rule in patterns]

    def __bool__(self) -> bool:
        return bool(self._exact or self._patterns)

    def __call__(self, session: str) -> str:
        """Return the new id of a session."""
        if session in self._exact:
            return self._exact[session]
        for pattern, replacement in self._patterns:
            session = pattern.sub(replacement, session)
        return session


def _divided(rule: str, option: str) -> tuple[str, str]:
    old, sign, new = rule.partition("==" if "==" in rule else "=")
    if not sign or not old or not new:
        raise UsageError(f"{option} {rule!r} does not say what becomes what.", hint=[("like", f"{option} OLD=NEW")])
    return old, new


def _pattern(rule: str) -> tuple[re.Pattern[str], str]:
    pattern, replacement = _divided(rule, "--rename-regex")
    try:
        compiled = re.compile(pattern)
        compiled.sub(replacement, "")
    except (re.error, IndexError) as error:
        raise UsageError(f"--rename-regex {rule!r} is no regular expression: {error}.") from None
    return compiled, replacement
