"""Keywords of public calls: an unknown one is a TypeError that names the nearest known one."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def strict_keywords(options: type | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that refuses unknown keywords at the call, and lists the known ones in the signature.

    Args:
        options: the dataclass (or TypedDict) that declares the keywords behind ``**``; None if there are no such.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = _expanded(inspect.signature(function), options)
        known = [name for name, parameter in signature.parameters.items() if parameter.kind in _BY_NAME]

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in known:
                    raise _unknown(function, name, known)
            return function(*args, **kwargs)

        checked.__signature__ = signature  # type: ignore[attr-defined]  # what help() and editors show
        return checked

    return decorate


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _expanded(signature: inspect.Signature, options: type | None) -> inspect.Signature:
    """Put the declared keywords in the place of ``**``."""
    kept = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    if options is None:
        return signature.replace(parameters=kept)
    names: Any = getattr(options, "__optional_keys__", None)
    declared = (
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in sorted(names)]
        if names is not None
        else inspect.signature(options).parameters.values()
    )
    return signature.replace(parameters=[*kept, *declared])


def _unknown(function: Callable[..., object], name: str, known: list[str]) -> TypeError:
    called = function.__qualname__.removesuffix(".__init__")
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    hint = f" The nearest is {near[0]!r}." if near else ""
    return TypeError(f"{called}() has no keyword {name!r}.{hint}")
