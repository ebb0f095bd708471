"""Reads the body of a request within limits of length and time, before the application sees it."""

import asyncio
from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class LimitBody:
    """Middleware: status 413 for a body beyond `max_bytes`, 408 for one that takes too long.

    `on_refused` is told the status.
    """

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, max_seconds: float, on_refused: Callable[[int], None]
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._on_refused = on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        try:
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if not length.isdigit() or int(length) > self._max_bytes:
                raise _TooLongError
            body = await asyncio.wait_for(self._read(receive), self._max_seconds)
        except _TooLongError:
            why = f"the body is longer than {self._max_bytes:,} bytes"
            await self._refuse(413, why)(scope, receive, send)
        except TimeoutError:
            why = f"the body did not come within {self._max_seconds:g} s"
            await self._refuse(408, why)(scope, receive, send)
        else:
            if body is not None:
                await self._app(scope, _again(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body; None where who asks has gone."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise _TooLongError
            if not message.get("more_body", False):
                return bytes(body)

    def _refuse(self, status: int, why: str) -> JSONResponse:
        self._on_refused(status)
        return JSONResponse({"detail": why}, status_code=status, headers={"connection": "close"})


class _TooLongError(Exception):
    pass


def _again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read, then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
