"""A webhook's other side: a real HTTP server that takes, refuses, hangs or is not there."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What it was sent, and how it answers: a status, or None to never answer."""

    port: int = 0
    status: int | None = 200
    taken: list[dict[str, Any]] = field(default_factory=list)
    num_asked: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/s3cret-t0ken"


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A server on a port until the end of the block; 0 takes a free one."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.num_asked += 1
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if receiver.status is None:
                receiver.released.wait(30)
                return
            if receiver.status == 200:
                receiver.taken.append(body)
            self.send_response(receiver.status)
            if receiver.status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing to standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
