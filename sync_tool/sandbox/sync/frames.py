"""Sends long messages in fragments: the Python client drops a connection at a frame of more than 16 MiB.

ASGI has no fragments, so this replaces one method of uvicorn's protocol class.
"""

from __future__ import annotations

from typing import Any, Final

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

MAX_FRAME_BYTES: Final = 1 << 20


class FragmentingProtocol(WebSocketsSansIOProtocol):
    """Sends ``bytes`` as text (the sync protocol has no binary messages), at most 1 MiB a frame."""

    async def send(self, message: Any) -> None:
        """Send one ASGI message."""
        data = message.get("bytes") if message["type"] == "websocket.send" else None
        if not isinstance(data, bytes):
            await super().send(message)
            return
        for start in range(0, len(data), MAX_FRAME_BYTES):
            await self.writable.wait()
            if self.disconnected or self.close_sent:
                raise ClientDisconnected
            self._send_frame(data, start)

    def _send_frame(self, data: bytes, start: int) -> None:
        end = start + MAX_FRAME_BYTES
        send = self.conn.send_continuation if start else self.conn.send_text
        try:
            send(data[start:end], fin=end >= len(data))
        except InvalidState:
            raise ClientDisconnected from None
        self.transport.write(b"".join(self.conn.data_to_send()))
