"""Limits of a Convex deployment.

Source: get-convex/convex-backend, ``crates/common/src/knobs.rs`` (defaults) and, for values and documents,
``crates/value/src/{size,object,array}.rs`` and ``crates/common/src/document.rs``.
"""

from __future__ import annotations

from typing import Final

MIB: Final = 1 << 20

MAX_REQUEST_BYTES: Final = (1 << 24) + 2000  # HTTP body of a function call

MAX_DOCUMENTS_READ: Final = 32_000
MAX_BYTES_READ: Final = 16 * MIB
MAX_RANGES_READ: Final = 4_096
MAX_DOCUMENTS_WRITTEN: Final = 16_000
MAX_BYTES_WRITTEN: Final = 16 * MIB
MAX_ARGS_BYTES: Final = 16 * MIB
MAX_RESULT_BYTES: Final = 16 * MIB
MAX_SYSTEM_RESULT_BYTES: Final = 24 * MIB

MAX_VALUE_NESTING: Final = 64

SYSTEM_PAGE_ROWS: Final = 10_000
SYSTEM_PAGE_BYTES: Final = 5_000_000  # Limits of a page of the table queries of dashboard and CLI

# A page of streaming export ends with the row or commit that reaches one of these.
STREAM_PAGE_ROWS: Final = 16_384
STREAM_PAGE_BYTES: Final = 64 * MIB

STREAM_ROWS_READ: Final = 32_768  # Rows of the change log read for one page

RETENTION_SECONDS: Final = 14 * 86_400.0  # How long changes are kept

IDLE_SECONDS: Final = 3600.0  # An idle deployment commits this often, so that positions expire there, too

# How long a call waits while too many of its kind run.
PERMIT_SECONDS: Final = {"Query": 5.0, "Mutation": 5.0, "Action": 10.0}

SNAPSHOT_SECONDS: Final = 10.0  # A timestamp stays readable this long after the next commit


def binary_size(count: int) -> str:
    """Format a number of bytes as in the backend's messages: ``16 MiB``, ``1.95 KiB``."""
    units = ("B", "KiB", "MiB", "GiB")
    value, unit = float(count), 0
    while value >= 1024 and unit < len(units) - 1:
        value, unit = value / 1024, unit + 1
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{text} {units[unit]}"
