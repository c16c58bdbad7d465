"""Function paths: ``folder/module:function``.

Source: get-convex/convex-backend, ``crates/convex/sync_types/src/{udf_path,module_path,path,identifier}.rs``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sync_tool.sandbox.faults import bad_request

_COMPONENT: Final = re.compile(r"[A-Za-z0-9_.]{1,64}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_DEFAULT: Final = "default"


class FunctionPath(NamedTuple):
    """Canonical path of a function; the module ends in ``.js``."""

    module: str
    function: str

    @property
    def is_system(self) -> bool:
        """Whether the function is one of Convex's own."""
        return self.module.startswith("_system/")

    @property
    def stripped(self) -> str:
        """Short form in error messages."""
        module = self.module.removesuffix(".js")
        return module if self.function == _DEFAULT else f"{module}:{self.function}"

    def __str__(self) -> str:
        return f"{self.module}:{self.function}"


def parse_path(text: str) -> FunctionPath:
    """Parse the path of a client; ``messages:list`` and ``messages.js:list`` are equal."""
    module, colon, function = text.rpartition(":")
    if not colon:
        module, function = text, _DEFAULT
    fault = _module_fault(module) or _identifier_fault(function)
    if fault:
        message = f"{text} is not a valid path to a Convex function. {fault}"
        raise bad_request("BadConvexFunctionIdentifier", message)
    return FunctionPath(module if module.endswith(".js") else f"{module}.js", function)


def is_identifier(text: str) -> bool:
    """Return whether `text` can name a table, an index or a function."""
    return _IDENTIFIER.fullmatch(text) is not None and text.strip("_") != ""


def _module_fault(module: str) -> str:
    if module.startswith("/"):
        return "Module paths must be relative."
    parts = module.split("/")
    for part in parts:
        if part in ("", ".", "..") or _COMPONENT.fullmatch(part) is None:
            return f"Path component {part[:64]} is empty, too long or has an invalid character."
        if not any(letter.isalnum() for letter in part):
            return f"Path component {part} must have at least one alphanumeric character."
    stem, dot, suffix = parts[-1].rpartition(".")
    if dot and stem and suffix != "js":
        return f"Module path {module} has an extension that isn't 'js'."
    return ""


def _identifier_fault(name: str) -> str:
    return "" if is_identifier(name) else f"Identifier {name[:64]} is invalid."
