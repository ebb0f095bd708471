"""Benchmark: the server on loopback, beside the tower and the search alone and MLflow's server.

    python -m benchmarks.bench_serve --pins 100000 1000000

A model is trained for a few steps on drawn examples and embeds the drawn Pins; 200,000 users have
features. Clients run in a process of their own and ask for 100 Pins, each after its answer, with
one connection each. Memory is the resident memory of the server's process. `right` is the share of
the Pins in answers that exact search with the same filters finds too. The last line is one JSON
object.
"""

import argparse
import asyncio
import datetime as dt
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.drawn_examples import draw_examples, draw_pins

K = 100
NUM_USERS = 200_000
DAY = dt.date(1970, 1, 31)
CLIENTS = (1, 8, 32)
TRAINING_STEPS = 60
PART_ROWS = 100_000


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_serve", description=__doc__)
    parser.add_argument("--pins", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--requests", type=int, default=2_000, help="of each number of clients")
    parser.add_argument("--no-mlflow", action="store_true")
    parser.add_argument("--ask", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        print(json.dumps(asyncio.run(_ask(**json.loads(options.ask)))))
        return
    sizes = [measure(num, options=options) for num in options.pins]
    print(json.dumps({"benchmark": "serve", "sizes": sizes}))


def measure(num_pins: int, *, options: argparse.Namespace) -> dict[str, Any]:
    """Figures with so many Pins."""
    folder = Path(tempfile.mkdtemp(prefix="convcg-bench-"))
    try:
        bundle, features = make_bundle(folder, num_pins), make_features(folder, num_pins)
        found: dict[str, Any] = {"pins": num_pins}
        found["in_process"] = _in_a_process(folder, bundle, features)
        command = [sys.executable, "-m", "convcg_serving", "--port", "0"]
        command += ["--bundle", str(bundle), "--features", str(features)]
        with _server(command) as (url, process):
            for clients in CLIENTS:
                asked = {"url": f"{url}/candidates", "clients": clients, "num": options.requests}
                found[f"{clients} clients"] = _clients(asked, kind="user")
            found["memory_gb"] = _resident_gb(process.pid)
            found["right"] = _right(url, folder, bundle, features)
        if not options.no_mlflow:
            found["mlflow models serve"] = _mlflow(folder, bundle, num=options.requests // 10)
        return found
    finally:
        shutil.rmtree(folder)


def make_bundle(folder: Path, num_pins: int) -> Path:
    """A bundle of a model that was trained for a few steps."""
    from convcg_model.config import ModelConfig, TrainingConfig
    from convcg_model.index import build_index
    from convcg_model.training import fit

    class EnoughError(Exception):
        pass

    num = 200_000
    examples = _drawn(num, num_pins)
    pins = draw_pins(num_pins)
    place = pins.column_names.index("price")
    pins = pins.set_column(place, "price", pa.array(np.arange(num_pins) % 500 * 1.0))
    training = TrainingConfig(epochs=1, batch_size=num // TRAINING_STEPS, device="cpu")
    model = fit(examples, pins, config=ModelConfig(), training=training, progress=False)
    users = model.embed_users(examples.slice(0, 500), catalogue=pins)
    bundle = build_index(model, pins, queries=users)
    bundle.save(folder / "bundle", provenance={"day": str(DAY)})
    return folder / "bundle"


def _drawn(num: int, num_pins: int) -> pa.Table:
    parts = (
        draw_examples(first, PART_ROWS, num_examples=num, num_pins=num_pins)
        for first in range(0, num, PART_ROWS)
    )
    return pa.Table.from_batches(list(parts)).combine_chunks()


def make_features(folder: Path, num_pins: int) -> Path:
    """The features of the users of a day."""
    from convcg_serving.day_features import write_day_features

    rows = _drawn(NUM_USERS, num_pins)
    named = {n.removeprefix("user_"): rows[n] for n in rows.schema.names if n.startswith("user_")}
    users = pa.table(named | {"id": pa.array(range(NUM_USERS))}).rename_columns(
        ["user_id" if name == "id" else name for name in named]
    )
    path = folder / "features" / f"dt={DAY}"
    write_day_features(path, users.to_batches(), draw_pins(num_pins), day=DAY, schema=users.schema)
    return path.parent


def _in_a_process(folder: Path, bundle: Path, features: Path) -> dict[str, float]:
    """Milliseconds of a request without a server: features, tower and search."""
    text = (
        "from convcg_serving.server import limit_threads; limit_threads()\n"
        "from benchmarks.bench_serve import in_process; import json, sys\n"
        "print(json.dumps(in_process(sys.argv[1], sys.argv[2])))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", text, str(bundle), str(features)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout.splitlines()[-1])


def in_process(bundle: str, features: str, num: int = 500) -> dict[str, float]:
    """p50 and p99 of one request after the other, in milliseconds, on one thread."""
    import torch

    from convcg_serving.requests import CandidateRequest

    torch.set_num_threads(1)
    release = _release(Path(bundle), Path(features))
    times = []
    for user in random.Random(0).sample(range(NUM_USERS), num):
        begun = time.perf_counter()
        release.answer([CandidateRequest(user_id=user, k=K)], now=dt.datetime.now(dt.UTC))
        times.append(1000 * (time.perf_counter() - begun))
    return _summary(times)


def _release(bundle: Path, features: Path) -> Any:
    from convcg_serving.champion import bundle_by_path
    from convcg_serving.release import load_release

    return load_release(bundle_by_path(bundle), features / f"dt={DAY}")


def _right(url: str, folder: Path, bundle: Path, features: Path, num: int = 300) -> float:
    """Share of the Pins of answers, filtered and not, that exact search finds."""
    import dataclasses

    import faiss

    from convcg_model.live_index import LiveIndex
    from convcg_serving.requests import CandidateRequest

    release = _release(bundle, features)
    flat = faiss.IndexFlatIP(release.bundle.embeddings.shape[1])
    exact = dataclasses.replace(
        release, index=LiveIndex(dataclasses.replace(release.bundle, index=flat))
    )
    shares = []
    drawn = random.Random(1)
    for number in range(num):
        filters = [
            {},
            {"allow_advertisers": drawn.sample(range(5_000), 500)},
            {"min_price": 100, "max_price": 105},
            {"categories": [f"c{drawn.randrange(20)}"]},
        ][number % 4]
        asked = {"user_id": drawn.randrange(NUM_USERS), "k": K, "filters": filters}
        request = CandidateRequest.model_validate(asked)
        wanted = exact.answer([request], now=dt.datetime.now(dt.UTC))[0]
        answer = _post(f"{url}/candidates", asked)
        floor = min((pin.score for pin in wanted.pins), default=0.0)
        found = sum(pin["score"] >= floor - 1e-5 for pin in answer["pins"])
        shares.append(found / max(1, len(wanted.pins)))
    return round(float(np.mean(shares)), 5)


def _mlflow(folder: Path, bundle: Path, *, num: int) -> dict[str, Any]:
    """The same model by `mlflow models serve`, asked with whole histories."""
    import mlflow

    from convcg_assets.defs.registry import MODEL_CODE

    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = mlflow.create_experiment("bench", (folder / "mlartifacts").as_uri())
    with mlflow.start_run(experiment_id=experiment):
        info = mlflow.pyfunc.log_model(
            name="bench",
            python_model=str(MODEL_CODE),
            artifacts={"bundle": str(bundle)},
            pip_requirements=["convcg"],
        )
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve"]
    command += ["-m", info.model_uri, "--env-manager", "local", "--port", "5987"]
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    environment |= {"OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    begun, url = time.perf_counter(), "http://127.0.0.1:5987"
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(f"{url}/ping")
        found: dict[str, Any] = {"ready_seconds": round(time.perf_counter() - begun, 1)}
        for clients in CLIENTS[:2]:
            asked = {"url": f"{url}/invocations", "clients": clients, "num": num}
            found[f"{clients} clients"] = _clients(asked, kind="row")
        return found
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _clients(asked: dict[str, Any], *, kind: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.bench_serve"]
    command += ["--ask", json.dumps(asked | {"kind": kind})]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


async def _ask(*, url: str, clients: int, num: int, kind: str) -> dict[str, float]:
    """Ask `num` times by so many clients; milliseconds and requests per second."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    times: list[float] = []

    async def client(seed: int, count: int) -> None:
        reader, writer = await asyncio.open_connection(name, int(port))
        drawn = random.Random(seed)
        for _ in range(count):
            body = json.dumps(_body(drawn, kind)).encode()
            begun = time.perf_counter()
            writer.write(
                f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(head)
            length = next(
                line for line in head.split(b"\r\n") if line.startswith(b"content-length")
            )
            await reader.readexactly(int(length.split(b":")[1]))
            times.append(1000 * (time.perf_counter() - begun))
        writer.close()

    await asyncio.gather(*(client(-1 - i, 20 // clients + 1) for i in range(clients)))
    times.clear()
    begun = time.perf_counter()
    await asyncio.gather(*(client(i, num // clients) for i in range(clients)))
    rate = len(times) / (time.perf_counter() - begun)
    return _summary(times) | {"per_second": round(rate)}


def _body(drawn: random.Random, kind: str) -> dict[str, Any]:
    if kind == "user":
        return {"user_id": drawn.randrange(NUM_USERS), "k": K}
    row = {
        "user_recent_pin_ids": [drawn.randrange(100_000) for _ in range(15)],
        "user_recent_actions": ["click"] * 15,
        "user_recent_age_days": [float(i) for i in range(15)],
        "surface": "homefeed",
    }
    return {"dataframe_records": [row], "params": {"k": K}}


def _summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50_ms": round(ordered[len(ordered) // 2], 2),
        "p99_ms": round(ordered[int(0.99 * len(ordered))], 2),
    }


@contextmanager
def _server(command: list[str]) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        _wait_for(f"{url}/readyz")
        yield url, process
    finally:
        process.terminate()
        process.communicate()


def _wait_for(url: str) -> None:
    for _ in range(2_400):
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.05)
    raise TimeoutError(url)


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def _resident_gb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(int(next(x for x in lines if x.startswith("VmRSS")).split()[1]) / 1024**2, 2)


if __name__ == "__main__":
    main()
