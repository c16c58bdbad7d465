"""From an address to the store that it names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sync_tool.stores.addresses import path_of, read_address
from sync_tool.stores.store import Store


def open_store(address: str, environment: Mapping[str, str] | None = None) -> Store | None:
    """Open another store of LangChain's; None if the address names something else.

    Args:
        address: ``redis://host:6379/0#prefix``, ``postgresql://host/database#table`` and the like, without a
            password; ``env:NAME`` or ``env:NAME#part`` for one that a variable holds; the path of a JSON file
            that LangChain wrote, or of a folder of them.
        environment: where variables are looked up; the process's own if None.

    Raises:
        UsageError: a password in the address, no such variable, file or table, or a package that is not installed.
        Unreachable: no answer.
        Refused: user, password or rights.
    """
    path = path_of(address, environment)
    if path is not None:
        return _open_path(Path(path).expanduser())
    found = read_address(address, environment)
    if found is None:
        return None
    from sync_tool.stores import dynamodb, mongodb, redislists, sqltables

    if found.scheme in redislists.SCHEMES:
        return redislists.RedisLists(found)
    if found.scheme in sqltables.SCHEMES:
        return sqltables.SqlTables(found)
    if found.scheme in mongodb.SCHEMES:
        return mongodb.MongoMessages(found)
    if found.scheme in dynamodb.SCHEMES:
        return dynamodb.DynamoItems(found)
    return None


def _open_path(path: Path) -> Store | None:
    from sync_tool.stores.jsonfiles import JsonFiles, is_json_store

    return JsonFiles(path) if is_json_store(path) else None
