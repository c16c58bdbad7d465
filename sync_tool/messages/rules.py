"""Schema levels, their rules, and the faults of a record that breaks one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["documented", "langchain", "loadable"]
Language = Literal["js", "python"]

LEVELS: Final[dict[Level, str]] = {
    "documented": "exactly the four fields of LangChain's documentation: content, role, name, additional_kwargs",
    "langchain": "every field that LangChain writes, in JavaScript and in Python",
    "loadable": "as langchain, and LangChain can read the message back",
}
"""Each level with what it takes."""

LANGUAGES: Final[tuple[Language, ...]] = ("js", "python")

_ALL: Final[tuple[Level, ...]] = ("documented", "langchain", "loadable")
_WIDE: Final[tuple[Level, ...]] = ("langchain", "loadable")
_DOCUMENTED: Final[tuple[Level, ...]] = ("documented",)
_LOADABLE: Final[tuple[Level, ...]] = ("loadable",)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule for records."""

    name: str
    sentence: str
    levels: tuple[Level, ...]
    """The levels that require it; none for a warning."""

    @property
    def passes_at(self) -> tuple[Level, ...]:
        """The levels that do not require it."""
        return tuple(level for level in _ALL if level not in self.levels)


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule broken at one place of a record; also a warning."""

    rule: str
    path: str
    """JSON path from the record, such as ``$.message.data.content``."""
    detail: str = ""
    """The value found instead, for people; may hold text of the record."""
    rewrite: str | None = None
    """The rewrite that cures it, if there is one (`sync_tool.messages.rewrites`)."""

    @property
    def sentence(self) -> str:
        """The rule in words."""
        return RULES[self.rule].sentence

    @property
    def passes_at(self) -> tuple[Level, ...]:
        """The levels at which this is no fault."""
        return RULES[self.rule].passes_at


_LINES: Final = {
    "line-too-long": "a line is at most 16 MiB; Convex holds documents of at most 1 MiB",
    "not-utf8": "the whole record is valid UTF-8",
    "byte-order-mark": "a file does not begin with a byte order mark",
    "not-json": "the record is one complete JSON text",
    "not-object": "the record is a JSON object",
    "duplicate-id": "one _id stands for one row",
    "unreadable": "the stored columns can be put together to a row",
    "target-schema": "the schema of the deployment takes the document",
    "refused": "the deployment takes the document",
}
_VALUES: Final = {
    "duplicate-key": "no object has the same key twice",
    "proto-key": "no key is __proto__: Convex's JavaScript drops it silently",
    "dollar-key": "no key begins with $: Convex refuses it",
    "key-characters": "keys are printable ASCII: Convex refuses others",
    "key-too-long": "keys have at most 1,024 bytes",
    "too-deep": "a document has at most 16 levels",
    "too-many-fields": "an object has at most 1,024 fields",
    "too-many-items": "an array has at most 8,192 items",
    "too-large": "a document has at most 1 MiB as Convex counts",
    "lone-surrogate": "text has no half of a surrogate pair",
    "number-range": "numbers fit into a float64 (about 1.8e308)",
    "bad-tag": "$integer, $float and $bytes hold base64 of the right length",
    "system-field": "top-level fields that begin with _ are _id and _creationTime only",
    "system-value": "_id is a string and _creationTime a number above 0 and below 2^53",
}
_SHAPE: Final = {
    "session-id": "the session id is a string",
    "message": "the message is an object",
    "message-field": "a message has the keys type and data only",
    "type": "the message's type is a string",
    "data": "the message's data is an object",
    "flat-text": "the message is not in the old form {type, text}",
    "flat-fields": "the message's fields are inside data, not beside type",
    "serialised": "the message is not LangChain's serialised form {lc, type, id, kwargs}",
    "openai": "the message is not in OpenAI's form {role, content}",
    "content-missing": "there is content",
    "content-blocks": "there is content, not content_blocks alone: JavaScript would read it as empty",
    "content-type": "content is a string or a list, not null, a number or an object",
    "role-type": "role is a string",
    "name-type": "name is a string or null",
    "unknown-field": "data has no field that LangChain does not write",
}

RULES: Final[dict[str, Rule]] = {
    rule.name: rule
    for rule in [
        *(Rule(name, sentence, _ALL) for name, sentence in {**_LINES, **_VALUES, **_SHAPE}.items()),
        Rule("row-field", "a row has no fields but the session id and the message", _DOCUMENTED),
        Rule("langchain-field", "data has the four documented fields only", _DOCUMENTED),
        Rule("content-list", "content is a string", _DOCUMENTED),
        Rule("name-null", "name is a string", _DOCUMENTED),
        Rule("content-item", "list content holds strings and objects", _WIDE),
        Rule("field-type", "LangChain's fields hold what LangChain writes into them", _WIDE),
        Rule("type-differs", "data.type, where it is there, equals type", _WIDE),
        Rule("type-unknown", "the type is one that LangChain reads", _LOADABLE),
        Rule("type-chunk", "the type is a plain one, not that of a streamed chunk", _LOADABLE),
        Rule(
            "type-language", "the type is what the language calls it: generic in JavaScript, chat in Python", _LOADABLE
        ),
        Rule("type-remove", "a removal is no message of a history", _LOADABLE),
        Rule("role-missing", "a generic or chat message has a role", _LOADABLE),
        Rule("function-name", "a function message has a name", _LOADABLE),
        Rule("tool-call-id", "a tool message has a tool_call_id", _LOADABLE),
        Rule("tool-status", "status is success or error", _LOADABLE),
        Rule("tool-calls", "tool_calls is a list of {name, args, id} with an object as args", _LOADABLE),
        Rule("usage", "usage_metadata is null or has three whole numbers", _LOADABLE),
        Rule("kwargs-null", "additional_kwargs is not null: Python cannot read it", _LOADABLE),
        Rule("lc-escaped", "something was stored again and again: __lc_escaped__ is never unwrapped", ()),
        Rule("other-language", "response_metadata is written as the other language writes it; nothing converts it", ()),
        Rule("orphan-result", "the tool result answers no call seen before in its session", ()),
        Rule("data-type-js", "data.type is there in a record that JavaScript wrote", ()),
        Rule("number-rounded", "the number has more digits than a float64 holds; it will be rounded", ()),
    ]
}
"""Every rule by name; the ones without levels are warnings."""


def faults_at(faults: tuple[Fault, ...], level: Level) -> tuple[Fault, ...]:
    """Return the faults at `level`."""
    return tuple(fault for fault in faults if level in RULES[fault.rule].levels)


def warnings_in(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """Return the warnings."""
    return tuple(fault for fault in faults if not RULES[fault.rule].levels)
