"""LangChain's chat memory in a Convex table, for Python: what ``@langchain/community`` gives JavaScript.

Needs the extra ``langchain``: ``pip install '.[langchain]'`` in a checkout.
"""

from __future__ import annotations

try:
    from sync_tool.langchain.history import Connection, ConvexChatMessageHistory, NameOptions
    from sync_tool.langchain.messages import document_of, message_of
except ModuleNotFoundError as error:
    if error.name is None or error.name.partition(".")[0] not in ("langchain_core", "httpx", "pydantic_core"):
        raise
    raise ModuleNotFoundError(
        f"sync_tool.langchain needs {error.name}: pip install '.[langchain]', in a checkout of convex-msgs",
        name=error.name,
    ) from None

__all__ = ["Connection", "ConvexChatMessageHistory", "NameOptions", "document_of", "message_of"]
