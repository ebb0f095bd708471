"""Micro-batches: requests that arrive while others are answered are answered together next.

Nothing waits for a batch to fill: one that comes alone is answered alone, at once.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from convcg_serving.release import Release
from convcg_serving.requests import CandidateAnswer, CandidateRequest

MAX_BATCH = 32
MAX_WAITING = 1024

Answer = CandidateAnswer | ValueError


class Overloaded(Exception):
    """More requests wait than will be answered in time."""


class Batcher:
    """Answers requests in batches, each of the release that serves when it begins."""

    def __init__(self, release: Callable[[], Release | None]) -> None:
        self._release = release
        self._waiting: list[tuple[CandidateRequest, asyncio.Future[Answer]]] = []
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="answers")
        self._running: asyncio.Task[None] | None = None

    async def answer(self, request: CandidateRequest) -> Answer:
        """The answer, or what is wrong with the request.

        Raises Overloaded where too many wait, LookupError where nothing is in service.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def close(self) -> None:
        """Answer what waits, then stop."""
        if self._running is not None:
            await self._running
        self._worker.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            # Who gave up waiting is not answered.
            batch = [(request, future) for request, future in batch if not future.done()]
            requests = [request for request, _ in batch]
            try:
                answers = await loop.run_in_executor(self._worker, self._answer, requests)
            except Exception as error:
                answers = [error] * len(batch)
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, Exception) and not isinstance(answer, ValueError):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _answer(self, requests: list[CandidateRequest]) -> list[Answer | Exception]:
        release, now = self._release(), dt.datetime.now(dt.UTC)
        if release is None:
            raise LookupError("no model is in service yet")
        try:
            return [*release.answer(requests, now=now)]
        except Exception as error:
            if len(requests) == 1:
                return [error]
        # One of them cannot be answered: it alone is to go without.
        return [answer for request in requests for answer in _alone(release, request, now=now)]


def _alone(
    release: Release, request: CandidateRequest, *, now: dt.datetime
) -> list[Answer | Exception]:
    try:
        return [*release.answer([request], now=now)]
    except Exception as error:
        return [error]
