"""The shape that a LangChain version and a model provider give to a message.

JavaScript writes the arguments a message was built with, so absent things are absent;
Python writes every declared field, so absent things are null.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from recipe.canonical import Dice
from recipe.scenes import Call, Step

Data = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """Facts from which a provider describes one reply of its model."""

    dice: Dice
    prompt: int
    completion: int
    calls: bool
    at_ms: float

    def usage(self) -> Data:
        """Return LangChain's token counts."""
        total = self.prompt + self.completion
        return {
            "input_tokens": self.prompt,
            "output_tokens": self.completion,
            "total_tokens": total,
        }


class Voice:
    """Writes the messages of one session in one style."""

    def __init__(self, style: str, dice: Dice) -> None:
        """Take `style`, a key of `PROVIDERS`, "plain" or "bare"."""
        self._style = style
        self._python = style.startswith("py-")
        self._dice = dice
        self._read = 40

    def message(self, step: Step, at_ms: float) -> Data:
        """Return the stored message of `step`: `{type, data}`."""
        kind = step.role
        data: Data = {"content": step.text, **self._common(step.who)}
        if step.role == "ai":
            kind = "AIMessageChunk" if self._style == "py-stream" else "ai"
            data |= self._reply(step, at_ms)
        elif step.role == "tool":
            data |= self._result(step.calls[0])
        if self._python:
            data["type"] = kind
        self._read = min(self._read + len(step.text) // 4 + 4, 6000)
        return {"type": kind, "data": data}

    def _common(self, who: str = "") -> Data:
        common: Data = {"additional_kwargs": {}}
        if self._style != "plain":
            common["response_metadata"] = {}
        if self._python:
            common |= {"name": who or None, "id": None}
        elif who:
            common["name"] = who
        return common

    def _result(self, call: Call) -> Data:
        result: Data = {"tool_call_id": call.id, "name": call.name}
        if self._python:
            result |= {"status": "success", "artifact": None}
        return result

    def _reply(self, step: Step, at_ms: float) -> Data:
        for call in step.calls:
            call.id = _call_id(self._style, self._dice)
        data: Data = {}
        if self._style != "plain":
            data |= {"tool_calls": [self._call(call) for call in step.calls]}
            data |= {"invalid_tool_calls": []}
        if step.calls and self._style in {"plain", "bare", "openai"}:
            data["additional_kwargs"] = {"tool_calls": [_raw_call(call) for call in step.calls]}
        if self._style in PROVIDERS:
            length = len(step.text) // 4 + 3 + 18 * len(step.calls)
            reply = Reply(self._dice, self._read, length, bool(step.calls), at_ms)
            data |= PROVIDERS[self._style](reply)
        if self._style == "anthropic" and step.calls:
            data["content"] = _anthropic_blocks(step)
        return data

    def _call(self, call: Call) -> Data:
        entry = {"name": call.name, "args": call.args, "id": call.id}
        return entry if self._style == "bare" else entry | {"type": "tool_call"}


def _call_id(style: str, dice: Dice) -> str:
    if style == "anthropic":
        return "toolu_01" + dice.word(22)
    if style in {"google", "py-ollama"}:
        return dice.uuid()
    return "call_" + dice.word(24)


def _raw_call(call: Call) -> Data:
    arguments = json.dumps(call.args, ensure_ascii=False, separators=(",", ":"))
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _anthropic_blocks(step: Step) -> list[Data]:
    said = [{"type": "text", "text": step.text}] if step.text else []
    used = [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.args} for call in step.calls]
    return said + used


def _openai(reply: Reply) -> Data:
    usage = reply.usage()
    return {
        "id": "chatcmpl-" + reply.dice.word(29),
        "response_metadata": {
            "tokenUsage": {
                "promptTokens": reply.prompt,
                "completionTokens": reply.completion,
                "totalTokens": usage["total_tokens"],
            },
            "finish_reason": "tool_calls" if reply.calls else "stop",
            "model_name": "gpt-4o-mini-2024-07-18",
        },
        "usage_metadata": usage
        | {
            "input_token_details": {"audio": 0, "cache_read": 0},
            "output_token_details": {"audio": 0, "reasoning": 0},
        },
    }


def _openai_1(reply: Reply) -> Data:
    data = _openai(reply) | {"type": "ai"}
    data["response_metadata"] |= {
        "model_provider": "openai",
        "usage": {
            "prompt_tokens": reply.prompt,
            "completion_tokens": reply.completion,
            "total_tokens": reply.prompt + reply.completion,
        },
    }
    return data


def _anthropic(reply: Reply) -> Data:
    name = "msg_01" + reply.dice.word(22)
    return {
        "id": name,
        "response_metadata": {
            "id": name,
            "model": "claude-3-5-haiku-20241022",
            "role": "assistant",
            "type": "message",
            "stop_reason": "tool_use" if reply.calls else "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": reply.prompt,
                "output_tokens": reply.completion,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
            },
        },
        "usage_metadata": reply.usage(),
    }


def _google(reply: Reply) -> Data:
    usage = reply.usage()
    return {
        "id": "run-" + reply.dice.uuid(),
        "response_metadata": {
            "tokenUsage": {
                "promptTokens": reply.prompt,
                "completionTokens": reply.completion,
                "totalTokens": usage["total_tokens"],
            },
            "finishReason": "STOP",
            "index": 0,
            "safetyRatings": [
                {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"},
                {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "NEGLIGIBLE"},
            ],
        },
        "usage_metadata": usage,
    }


def _py_openai(reply: Reply) -> Data:
    usage = reply.usage()
    return {
        "id": f"lc_run--{reply.dice.uuid()}-0",
        "additional_kwargs": {"refusal": None},
        "response_metadata": {
            "token_usage": {
                "prompt_tokens": reply.prompt,
                "completion_tokens": reply.completion,
                "total_tokens": usage["total_tokens"],
                "completion_tokens_details": None,
                "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
            },
            "model_provider": "openai",
            "model_name": "gpt-4o-mini-2024-07-18",
            "system_fingerprint": "fp_" + reply.dice.bytes(5).hex(),
            "id": "chatcmpl-" + reply.dice.word(29),
            "service_tier": "default",
            "finish_reason": "tool_calls" if reply.calls else "stop",
            "logprobs": None,
        },
        "usage_metadata": usage | {"input_token_details": {"cache_read": 0}, "output_token_details": {"reasoning": 0}},
    }


def _py_stream(reply: Reply) -> Data:
    return {
        "id": "lc_run--" + reply.dice.uuid(),
        "response_metadata": {
            "model_provider": "openai",
            "model_name": "gpt-4o-mini-2024-07-18",
            "finish_reason": "tool_calls" if reply.calls else "stop",
        },
        "usage_metadata": None,
        "tool_call_chunks": [],
        "chunk_position": "last",
    }


def _py_ollama(reply: Reply) -> Data:
    created = datetime.fromtimestamp(reply.at_ms // 1000, UTC)
    reading, writing = reply.prompt * 1_930_417, reply.completion * 24_518_903
    return {
        "id": f"run--{reply.dice.uuid()}-0",
        "response_metadata": {
            "model": "llama3.1:8b",
            "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "done": True,
            "done_reason": "stop",
            "total_duration": 41_802_117 + reading + writing,
            "load_duration": 41_802_117,
            "prompt_eval_count": reply.prompt,
            "prompt_eval_duration": reading,
            "eval_count": reply.completion,
            "eval_duration": writing,
        },
        "usage_metadata": reply.usage(),
    }


PROVIDERS: dict[str, Callable[[Reply], Data]] = {
    "openai": _openai,
    "openai-1": _openai_1,
    "anthropic": _anthropic,
    "google": _google,
    "py-openai": _py_openai,
    "py-stream": _py_stream,
    "py-ollama": _py_ollama,
}
