"""The canary: a server process of its own answers logged queries with a model before it serves."""

import datetime as dt
import json
import math
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from convcg_assets.builds.rows import Rows
from convcg_assets.config import Frozen
from convcg_assets.deployment import Deployment
from convcg_assets.lake.engine import connect
from convcg_assets.tables.table import DAY
from convcg_serving.champion import Champion

START_SECONDS = 60
ANSWER_SECONDS = 10


class Canary(Frozen):
    """What a server answered with the model."""

    passed: bool
    queries: int
    p99_ms: float | None = Field(description="99th percentile of the time to an answer.")
    says: str


def run_canary(deployment: Deployment, model: Champion) -> Canary:
    """Start a server on the model's bundle, and ask it logged queries of the day before T.

    It passes where each answer is of this model and holds Pins, and 99 % come in time. Whatever
    goes wrong is told, not raised.
    """
    settings = deployment.settings.promotion
    asked = logged_queries(deployment, model.day, settings.canary_queries)
    try:
        with _server(deployment, model) as url:
            times = [_ask(url, query, model) for query in asked]
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Canary(
            passed=False, queries=len(asked), p99_ms=None, says=f"The canary died: {error}"
        )
    p99 = sorted(times)[math.ceil(0.99 * len(times)) - 1] if times else 0.0
    in_time = p99 <= settings.canary_max_ms
    return Canary(
        passed=in_time,
        queries=len(asked),
        p99_ms=p99,
        says=f"A server answered {len(asked)} logged queries with this model, 99 % of them within "
        f"{p99:.0f} ms" + ("." if in_time else f", where {settings.canary_max_ms:g} are allowed."),
    )


def logged_queries(deployment: Deployment, day: dt.date, num: int) -> list[dict[str, Any]]:
    """Requests of some impressions of the last day with logs before T."""
    con = connect(memory_limit="1GB")
    try:
        rows = Rows(deployment).read("impressions", [day - DAY], con=con)
        wanted = rows.select("impression_id", "user_id", "surface", "subject_pin_id", "query")
        table = con.to_pyarrow(wanted.order_by("impression_id").limit(num))
    finally:
        con.disconnect()
    return [
        {name: value for name, value in row.items() if value is not None and name in _ASKED}
        for row in table.to_pylist()
    ]


_ASKED = ("user_id", "surface", "subject_pin_id", "query")


@contextmanager
def _server(deployment: Deployment, model: Champion) -> Iterator[str]:
    """A server on a free port, until the block ends; OSError where it does not come up."""
    command = [sys.executable, "-m", "convcg_serving", "--port", "0"]
    command += ["--bundle", str(model.bundle), "--features", str(deployment.features)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise OSError(f"the server ended at once: {process.communicate()[1][-500:]}")
        url = json.loads(line)["url"]
        _wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        try:
            process.communicate(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _wait_until_ready(url: str, process: "subprocess.Popen[str]") -> None:
    deadline, said = time.monotonic() + START_SECONDS, "it did not answer"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise OSError(f"the server ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=ANSWER_SECONDS):
                return
        except urllib.error.HTTPError as error:
            said = error.read().decode()
            if error.code == 503 and json.loads(said).get("fault"):
                break
        except urllib.error.URLError as error:
            said = str(error.reason)
        time.sleep(0.05)
    raise OSError(f"the server was not ready: {said}")


def _ask(url: str, query: dict[str, Any], model: Champion) -> float:
    """Milliseconds to the answer; ValueError where it is not right."""
    body = json.dumps(query).encode()
    request = urllib.request.Request(
        f"{url}/candidates", data=body, headers={"Content-Type": "application/json"}
    )
    begun = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise ValueError(f"{body.decode()}: status {error.code}, {error.read().decode()}") from None
    milliseconds = 1000 * (time.perf_counter() - begun)
    if answer["model_version"] != model.model_version:
        raise ValueError(f"an answer is of model {answer['model_version'][:12]}...")
    if not answer["pins"] or not all(math.isfinite(pin["score"]) for pin in answer["pins"]):
        raise ValueError(
            f"{body.decode()}: the answer holds no Pins, or scores that are no numbers"
        )
    return milliseconds
