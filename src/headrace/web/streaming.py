"""Responses that go on for a while, with what must be given back when they end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class TrackedStreamingResponse(StreamingResponse):
    """A response that is sent in parts. `ended` is called once, also if the client left early."""

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        ended: Callable[[], None],
        *,
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__(parts, media_type=media_type, headers=headers)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()
