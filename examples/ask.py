"""The conversation of LangChain's documentation about memory in Convex, from Python.

    convex-msgs sandbox --env-file .env.msgs       (in another terminal, or a deployment of yours)
    CONVEX_MSGS_ENV_FILE=.env.msgs python examples/ask.py jim

Needs `pip install 'convex-msgs[langchain]'`. With OPENAI_API_KEY set it talks to OpenAI, which needs
`pip install langchain-openai`; without it to a model that knows only the conversation.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from langchain_core.language_models import BaseChatModel, SimpleChatModel
from langchain_core.messages import BaseMessage, HumanMessage

import sync_tool as cm
from sync_tool.langchain import ConvexChatMessageHistory


class Listener(SimpleChatModel):
    """A model that remembers a name only if the messages it is given hold it."""

    @property
    def _llm_type(self) -> str:
        return "listener"

    def _call(self, messages: list[BaseMessage], *_: Any, **__: Any) -> str:
        names = re.findall(r"I'm (\w+)\.", "\n".join(message.text for message in messages))
        if "my name" not in messages[-1].text:
            return f"Hello {names[-1] if names else 'stranger'}! It's nice to meet you."
        return f"You just said your name was {names[-1]}." if names else "You have not told me your name."


def make_model() -> BaseChatModel:
    """Return OpenAI's model if there is a key to it."""
    if not os.environ.get("OPENAI_API_KEY"):
        return Listener()
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model="gpt-3.5-turbo", temperature=0)


def ask(model: BaseChatModel, history: ConvexChatMessageHistory, text: str) -> str:
    """Let the model answer, knowing what was said before, and remember both."""
    question = HumanMessage(text)
    answer = model.invoke([*history.messages, question])
    history.add_messages([question, answer])
    return answer.text


def main(session: str) -> None:
    """Talk, look at what is remembered, export it, and forget it."""
    history = ConvexChatMessageHistory(session)
    model = make_model()
    for text in ("Hi! I'm Jim.", "What did I just say my name was?"):
        print(ask(model, history, text))
    print(f"\n{history}\n")
    with cm.connect() as db:
        report = cm.export(db, f"{session}.jsonl", sessions=[session], overwrite=True)
        print(f"{report.rows} messages -> {report.files[0].path}")
    history.clear()
    print(f"forgotten: {history.messages}")
    history.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "jim")
