"""The web application: candidates, health, metrics, and the page to try them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources

import jinja2
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse

from convcg_serving.batching import Batcher, Overloaded
from convcg_serving.limit_body import LimitBody
from convcg_serving.metrics import Metrics
from convcg_serving.page import show_user
from convcg_serving.requests import CandidateAnswer, CandidateRequest
from convcg_serving.watcher import Watcher

MAX_BODY_BYTES = 64 * 1024
TIMEOUT_SECONDS = 5.0


def make_app(watcher: Watcher) -> FastAPI:
    """The application over what a watcher holds, which it starts and stops."""
    metrics = Metrics(watcher)
    batcher = Batcher(lambda: watcher.release)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watcher.start()
        yield
        await batcher.close()
        await asyncio.to_thread(watcher.stop)

    app = FastAPI(title="convcg", lifespan=lifespan)
    app.add_middleware(
        LimitBody,
        max_bytes=MAX_BODY_BYTES,
        max_seconds=TIMEOUT_SECONDS,
        on_refused=metrics.count,
    )
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(resources.files("convcg_serving").joinpath("page.html.j2").read_text("utf-8"))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        metrics.count(422)
        said = [": ".join([*_place(e["loc"][1:]), e["msg"]]) for e in error.errors()]
        return _error(422, "; ".join(said))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        # Starlette raises it again after the answer, so that it is logged.
        metrics.count(500)
        return _error(500, "the server failed: its log says how")

    @app.post("/candidates", response_model=CandidateAnswer)
    async def candidates(request: CandidateRequest) -> Response:
        """The best Pins for a person, by the model in service."""
        begun = time.perf_counter()
        try:
            answer = await asyncio.wait_for(batcher.answer(request), TIMEOUT_SECONDS)
        except Overloaded:
            raise _refused(metrics, 503, "too many requests wait") from None
        except LookupError as error:
            raise _refused(metrics, 503, str(error)) from None
        except TimeoutError:
            raise _refused(metrics, 504, f"no answer within {TIMEOUT_SECONDS:g} s") from None
        if isinstance(answer, ValueError):
            raise _refused(metrics, 422, str(answer))
        metrics.seconds.observe(time.perf_counter() - begun)
        metrics.count(200, answer)
        # As it is: FastAPI would check a hundred Pins.
        return Response(answer.to_json(), media_type="application/json")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Whether a model serves, which one, and what is wrong."""
        release = watcher.release
        body: dict[str, object] = {"ready": release is not None, "fault": watcher.fault}
        if release is not None:
            body |= {
                "version": release.champion.version,
                "day": str(release.champion.day),
                "model_version": release.champion.model_version,
                "features_day": release.features and str(release.features.day),
                "since": watcher.since and watcher.since.isoformat(),
                "pins": release.index.num_pins,
            }
        return JSONResponse(body, status_code=200 if release is not None else 503)

    @app.get("/metrics")
    async def show_metrics() -> Response:
        """What Prometheus reads."""
        return Response(
            await asyncio.to_thread(metrics.text), media_type="text/plain; version=0.0.4"
        )

    @app.get("/", response_class=HTMLResponse)
    async def page(
        user_id: str = Query("", max_length=200),
        surface: str = Query("homefeed"),
        subject: str = Query("", max_length=200),
        query: str = Query("", max_length=1000),
    ) -> HTMLResponse:
        """A person, what they did, and their candidates, beside those of the model before."""
        shown = await asyncio.to_thread(
            show_user, watcher, user_id=user_id, surface=surface, subject=subject, query=query
        )
        return HTMLResponse(template.render(shown=shown))

    return app


def _place(location: tuple[int | str, ...]) -> list[str]:
    """Where in a body something is wrong; nowhere where it is the body itself."""
    return [".".join(map(str, location))] if location else []


def _refused(metrics: Metrics, status: int, why: str) -> HTTPException:
    metrics.count(status)
    return HTTPException(status, why)


def _error(status: int, why: str) -> JSONResponse:
    return JSONResponse({"detail": why}, status_code=status)
