"""Canonical bytes: the one spelling of a row that JSONL files hold and digests are taken over.

``convex_encoded_json`` with sorted keys and no spaces. msgspec writes it because it spells doubles
as Convex does (``1e16``; orjson writes ``1e+16``): see ``tests/test_encoding.py``.
"""

from __future__ import annotations

import msgspec

from sync_tool.encoding.values import Value, decode, decode_export, encode

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()


def dumps(value: Value) -> bytes:
    """Return the canonical bytes of a Convex value, without a newline.

    Raises:
        ValueError: `value` holds something that is not a Convex value.
    """
    try:
        return _encoder.encode(encode(value))
    except UnicodeEncodeError as error:
        raise ValueError(f"text is not valid Unicode: {error.reason}") from None


def loads(data: bytes | str) -> Value:
    """Read one JSON text in ``convex_encoded_json``, canonical or not.

    Raises:
        ValueError: not JSON (``msgspec.DecodeError`` is a ``ValueError``), not UTF-8, or a wrong ``$`` tag.
    """
    return decode(_decoder.decode(data))


def loads_export(data: bytes | str) -> Value:
    """Read one JSON text in ``export_json``, where a bare integer is an int64."""
    return decode_export(_decoder.decode(data))
