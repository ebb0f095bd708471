"""The server process: the application on a socket, until it is told to stop."""

import json
import os
import socket
from collections.abc import Callable

from convcg_serving.watcher import Watcher

GRACE_SECONDS = 10
"""So long answers under way may take when the server stops."""


def limit_threads() -> None:
    """One thread for each batch: waiting for others costs more than it saves, and answers come
    from many batches. To be called before NumPy, torch and FAISS are loaded."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _print_at_once(line: str) -> None:
    """A line for who reads a pipe: Python would hold it back."""
    print(line, flush=True)


def serve(
    watcher: Watcher,
    *,
    host: str,
    port: int,
    on_bound: Callable[[str], None] = _print_at_once,
) -> None:
    """Serve until a signal; what is being answered then is answered.

    Port 0 takes a free one. `on_bound` is told where, as JSON, before the first request.
    """
    import faiss
    import torch
    import uvicorn

    from convcg_serving.app import make_app

    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    bound = socket.create_server((host, port), family=_family(host), backlog=1024)
    address, number = bound.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    on_bound(json.dumps({"url": f"http://{shown}:{number}", "pid": os.getpid()}))
    config = uvicorn.Config(
        make_app(watcher),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[bound])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
