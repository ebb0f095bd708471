"""Refuses bodies that are too long, or do not say how long they are, before they are read."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class LimitBody:
    """Middleware: status 413 for a body beyond `max_bytes`, 411 for one without a length."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            length = headers.get(b"content-length", b"0")
            if b"transfer-encoding" in headers:
                await _refuse(411, "a request needs a Content-Length")(scope, receive, send)
                return
            if not length.isdigit() or int(length) > self._max_bytes:
                said = f"the body is longer than {self._max_bytes:,} bytes"
                await _refuse(413, said)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refuse(status: int, why: str) -> JSONResponse:
    return JSONResponse({"detail": why}, status_code=status, headers={"connection": "close"})
