"""Runs one function: lookup, rights, arguments, transaction, result. HTTP and WebSocket call functions through here.

Source of order and messages: get-convex/convex-backend, ``crates/udf/src/{validation,helpers}.rs``.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from sync_tool.encoding import sizes
from sync_tool.encoding.values import Json, Value, decode
from sync_tool.sandbox import keys as rights
from sync_tool.sandbox import limits
from sync_tool.sandbox.database.engine import Engine
from sync_tool.sandbox.database.transaction import Interval, Transaction
from sync_tool.sandbox.faults import FunctionError, conflict, developer_error
from sync_tool.sandbox.functions.registry import Context, Facts, Function, Kind
from sync_tool.sandbox.functions.results import check_result
from sync_tool.sandbox.limits import MAX_VALUE_NESTING
from sync_tool.sandbox.paths import FunctionPath

# Strict reading of argument JSON in one walk: `sync_tool.encoding.values.decode` accepts invalid field names, ordinary
# numbers in a ``$float``, and arrays and objects beyond the limits, as files may have them. Source:
# get-convex/convex-backend, ``crates/value/src/json/mod.rs``.

_FIELD_NAME: Final = re.compile(r"(?!\$)[ -~]*")
_MOST_REMEMBERED: Final = 10_000
_good_names: set[str] = set()  # Field names found valid: the same few occur in every document
_AS_THEY_ARE: Final = frozenset((str, float, bool, type(None)))  # JSON types that need no conversion
_TAGS: Final = ("$bytes", "$integer", "$float")


def _number(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        raise ValueError("Arbitrary precision JSON integers unsupported") from None


def decode_strictly(json: Json, depth: int = 0, on_int: Callable[[int], Value] = _number) -> Value:
    """Return the Convex value of JSON; `on_int` converts bare integers. Raises ValueError with the backend's text."""
    kind = type(json)
    if kind in _AS_THEY_ARE:
        return json
    if kind is int:
        return on_int(json)
    if depth >= MAX_VALUE_NESTING:
        raise ValueError(f"Value is too nested (more than maximum nesting {MAX_VALUE_NESTING})")
    if kind is list:
        if len(json) > sizes.MAX_ARRAY_ITEMS:
            limit = sizes.MAX_ARRAY_ITEMS
            raise ValueError(f"Array length is too long ({len(json)} > maximum length {limit})")
        return [decode_strictly(item, depth + 1, on_int) for item in json]
    if len(json) == 1 and next(iter(json)) in _TAGS:
        return _tagged(json)
    return _object(json, depth, on_int)


def _object(json: dict[str, Json], depth: int, on_int: Callable[[int], Value]) -> dict[str, Value]:
    if len(json) > sizes.MAX_OBJECT_FIELDS:
        limit = sizes.MAX_OBJECT_FIELDS
        raise ValueError(f"Object has too many fields ({len(json)} > maximum number {limit})")
    if not json.keys() <= _good_names:
        _check_names(json)
    values = json.copy()
    for name, item in json.items():
        if type(item) not in _AS_THEY_ARE:
            values[name] = decode_strictly(item, depth + 1, on_int)
    return values


def _check_names(json: dict[str, Json]) -> None:
    for name in json:
        if _FIELD_NAME.fullmatch(name) is None:
            raise ValueError(_name_fault(name))
        if len(name) > sizes.MAX_FIELD_NAME_BYTES:
            limit = sizes.MAX_FIELD_NAME_BYTES
            raise ValueError(f"Field name is too long ({len(name)} > maximum {limit})")
        if len(_good_names) < _MOST_REMEMBERED:
            _good_names.add(name)


def _name_fault(name: str) -> str:
    if name.startswith("$"):
        return f"Field name {name} starts with '$', which is reserved."
    return f"Field name {name} has invalid character: Field names can only contain non-control ASCII characters"


def _tagged(json: dict[str, Json]) -> Value:
    value = decode(json)
    if "$float" in json and value != 0.0 and math.isfinite(value):
        raise ValueError(f"Float64 {value!r} should be encoded as a number")
    return value


@dataclass(frozen=True)
class Call:
    """Request to run a function.

    Attributes:
        path: path of the function.
        args: JSON of the positional arguments: one object.
        admin: whether the caller has the admin key.
        json_bytes: length of the arguments' JSON text, if known.
    """

    path: FunctionPath
    args: list[Json]
    admin: bool
    json_bytes: int | None = None


@dataclass
class Outcome:
    """Result of a call.

    Attributes:
        value: result, unless the call failed.
        failure: reason of a failure.
        log: lines that the function logged.
        ts: timestamp of a state that includes the reads and writes.
        ranges: index ranges read.
    """

    value: Value = None
    failure: FunctionError | None = None
    log: list[str] = field(default_factory=list)
    ts: int = 0
    ranges: list[Interval] = field(default_factory=list)


# JSON text this long stays within the limit: a digit and a comma count at most 9 bytes.
_SURELY_SMALL: Final = limits.MAX_ARGS_BYTES // 5

Record = Callable[[sqlite3.Connection, Outcome, int], None]


class Caller:
    """Runs the functions of one deployment.

    Args:
        engine: database.
        facts: deployment; ``facts.functions`` are the deployed functions.
        system: Convex's own functions.
    """

    def __init__(self, engine: Engine, facts: Facts, system: Mapping[str, Function]) -> None:
        self.engine = engine
        self.facts = facts
        self._system = system
        self._mutations = count(1)

    def kind_of(self, call: Call) -> Kind:
        """Return the kind of the function at a path."""
        function = self.facts.functions.get(str(call.path))
        if function is None or not (call.admin or function.visibility == "public"):
            raise FunctionError(
                f"Could not find function for '{call.path.stripped}'. Did you forget to run `npx convex dev`?"
            )
        return function.kind

    def run(self, call: Call, kind: Kind) -> Outcome:
        """Run a function as one of its kind."""
        if kind == "Query":
            return self.query(call)
        return self.mutation(call) if kind == "Mutation" else self.action(call)

    def query(self, call: Call, connection: sqlite3.Connection | None = None) -> Outcome:
        """Run a query on the newest state, or on the one that a connection has open."""
        outcome = Outcome()

        def run(transaction: Transaction) -> None:
            try:
                self._run(call, "Query", transaction, outcome)
            except FunctionError as failure:
                outcome.failure = failure
            outcome.ranges = transaction.ranges
            outcome.ts = self.engine.ts_of(transaction.connection)

        if connection is None:
            self.engine.read(run, is_system=call.path.is_system)
        else:
            self.engine.read_on(connection, run, is_system=call.path.is_system)
        return outcome

    def mutation(self, call: Call, record: Record | None = None) -> Outcome:
        """Run a mutation; `record` may store more in the same transaction if it succeeds."""
        conflicts = self.facts.options.conflicts
        if conflicts is not None and next(self._mutations) % conflicts == 0:
            raise conflict()
        outcome = Outcome()
        keep = None if record is None else lambda connection, _, ts: record(connection, outcome, ts)
        try:
            _, outcome.ts = self.engine.write(lambda db: self._run(call, "Mutation", db, outcome), keep)
        except FunctionError as failure:
            outcome.failure = failure
            outcome.ts = self.engine.latest_ts
        return outcome

    def action(self, call: Call) -> Outcome:
        """Run an action, which has no database but calls queries and mutations."""
        outcome = Outcome()
        try:
            self._run(call, "Action", ActionRunner(self, call.admin), outcome)
        except FunctionError as failure:
            outcome.failure = failure
        outcome.ts = self.engine.latest_ts
        return outcome

    def _run(self, call: Call, kind: Kind, db: Any, outcome: Outcome) -> None:
        function = self._find(call, kind)
        args = _arguments(call, function)
        outcome.value = function.handler(Context(db, self.facts, outcome.log), args)
        system = call.path.is_system
        most = limits.MAX_SYSTEM_RESULT_BYTES if system else limits.MAX_RESULT_BYTES
        check_result(outcome.value, str(call.path), most)

    def _find(self, call: Call, kind: Kind) -> Function:
        deployed = self._system if call.path.is_system else self.facts.functions
        function = deployed.get(str(call.path))
        if function is None or not (call.admin or function.visibility == "public"):
            raise FunctionError(f"Could not find public function for '{call.path.stripped}'.")
        self._check_rights(call, function, kind)
        if function.kind != kind:
            raise FunctionError(f"Trying to execute {call.path} as {kind}, but it is defined as {function.kind}.")
        return function

    def _check_rights(self, call: Call, function: Function, kind: Kind) -> None:
        """Raise if the key lacks the right: a system function fails itself, any other is refused before it runs."""
        denied = self.facts.options.denied
        if call.path.is_system:
            action = rights.VIEW_BACKUPS if call.path.module.endswith("queryImport.js") else rights.VIEW_DATA
            if action in denied:
                raise developer_error(rights.refusal_text(action))
        elif function.visibility == "internal" and rights.RUN_INTERNAL[kind] in denied:
            raise rights.forbidden(rights.RUN_INTERNAL[kind])


class ActionRunner:
    """Context of an action."""

    def __init__(self, caller: Caller, admin: bool) -> None:
        self._caller = caller
        self._admin = admin

    def run_query(self, path: FunctionPath, args: Json) -> Value:
        """Run a query, as ``ctx.runQuery``."""
        return _value_of(self._caller.query(Call(path, [args], self._admin)))

    def run_mutation(self, path: FunctionPath, args: Json) -> Value:
        """Run a mutation, as ``ctx.runMutation``."""
        return _value_of(self._caller.mutation(Call(path, [args], self._admin)))


def _value_of(outcome: Outcome) -> Value:
    if outcome.failure is not None:
        raise outcome.failure
    return outcome.value


def _arguments(call: Call, function: Function) -> dict[str, Value]:
    try:
        args = [decode_strictly(json) for json in call.args]
    except ValueError as error:
        raise FunctionError(f"Invalid arguments for {call.path}: {error}") from None
    if call.json_bytes is None or call.json_bytes > _SURELY_SMALL:
        _check_size(call, args)
    fault = _argument_fault(args, function)
    if fault is not None:
        raise FunctionError(f"ArgumentValidationError: {fault}")
    arguments: dict[str, Value] = args[0]
    return arguments


def _check_size(call: Call, args: list[Value]) -> None:
    size = sizes.size_of(args)
    if size > limits.MAX_ARGS_BYTES:
        actual = f"(actual: {limits.binary_size(size)}, limit: {limits.binary_size(limits.MAX_ARGS_BYTES)})"
        raise FunctionError(f"Arguments for {call.path} are too large {actual}")


def _argument_fault(args: list[Value], function: Function) -> str | None:
    if len(args) != 1:
        return f"Expected to receive a single object as the function's argument. Instead received {len(args)} arguments"
    if not isinstance(args[0], dict):
        return "Expected to receive an object as the function's argument."
    return function.args.explain(args[0])
