"""A real server process: what it answers while the champion moves, and how it stops."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx2 as httpx
import pytest

from ..environment import environment_of_others

SERVER = """
import json, sys
from pathlib import Path
import datetime as dt
from convcg_serving.server import limit_threads
limit_threads()
from convcg_serving import watcher
from convcg_serving.champion import Champion
from convcg_serving.server import serve
from convcg_serving.watcher import Places, Watcher
watcher.POLL_SECONDS = 0.02
named, features = Path(sys.argv[1]), Path(sys.argv[2])
def find():
    found = json.loads(named.read_text())
    day = dt.date.fromisoformat(found["day"])
    return Champion(found["version"], day, found["model_version"], Path(found["bundle"]))
serve(Watcher(find, Places(features)), host="127.0.0.1", port=0)
"""
REQUESTS_PER_SECOND = 200
SECONDS = 3


def name_champion(path: Path, champion) -> None:
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(vars(champion), default=str))
    os.replace(unfinished, path)


@pytest.fixture
def server(champion, features, tmp_path):
    named = tmp_path / "champion.json"
    name_champion(named, champion)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(named), str(features.parent)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment_of_others(),
    )
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    with httpx.Client(base_url=url) as client:
        while client.get("/readyz").status_code != 200:
            pass
    yield url, named, process
    process.kill()
    process.communicate()


def test_no_answer_fails_or_mixes_while_the_champion_moves(server, champion, challenger):
    url, named, _ = server
    both = {c.version: c.model_version for c in (champion, challenger)}
    seen: list[tuple[str, str]] = []

    async def ask(client: httpx.AsyncClient, user: int) -> None:
        answer = await client.post("/candidates", json={"user_id": user % 60, "k": 20})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        seen.append((body["version"], body["model_version"]))
        assert len(body["pins"]) == 20

    async def move() -> None:
        for turn in range(2 * SECONDS):
            await asyncio.sleep(0.5)
            name_champion(named, (challenger, champion)[turn % 2])

    async def run() -> None:
        async with httpx.AsyncClient(base_url=url) as client:
            moving = asyncio.create_task(move())
            asked = []
            for number in range(REQUESTS_PER_SECOND * SECONDS):
                asked.append(asyncio.create_task(ask(client, number)))
                await asyncio.sleep(1 / REQUESTS_PER_SECOND)
            await asyncio.gather(moving, *asked)

    asyncio.run(run())
    assert len(seen) == REQUESTS_PER_SECOND * SECONDS
    assert {version for version, _ in seen} == {"1", "2"}
    assert all(both[version] == model for version, model in seen)


def test_it_answers_what_is_under_way_and_stops(server):
    url, _, process = server

    async def run() -> list[int]:
        async with httpx.AsyncClient(base_url=url) as client:
            asked = [
                asyncio.create_task(client.post("/candidates", json={"user_id": 1}))
                for _ in range(50)
            ]
            await asyncio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            return [a.status_code for a in answers if isinstance(a, httpx.Response)]

    answered = asyncio.run(run())
    assert set(answered) == {200}
    assert process.wait(timeout=20) in (0, -signal.SIGTERM)


def test_a_bundle_by_its_path(champion, features):
    command = [sys.executable, "-m", "convcg_serving", "--port", "0"]
    command += ["--bundle", str(champion.bundle), "--features", str(features.parent)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment_of_others()
    )
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        while httpx.get(f"{url}/readyz").status_code != 200:
            pass
        answer = httpx.post(f"{url}/candidates", json={"user_id": 3, "k": 2}, timeout=30)
        assert answer.json()["model_version"] == champion.model_version
        assert answer.json()["version"] == ""
    finally:
        process.kill()
        process.communicate()


def test_a_folder_that_is_no_bundle(tmp_path):
    command = [sys.executable, "-m", "convcg_serving", "--bundle", str(tmp_path)]
    done = subprocess.run(
        [*command, "--features", str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment_of_others(),
        check=False,
    )
    assert done.returncode == 1
    assert "is no index bundle: there is no checkpoint/model.json" in done.stderr


def test_it_says_where_it_listens_at_once_also_to_who_reads_a_pipe(tmp_path):
    """A canary waits for that line: Python holds it back unless it is told not to."""
    environment = environment_of_others()
    environment.pop("PYTHONUNBUFFERED", None)
    named = tmp_path / "champion.json"
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(named), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    impatient = threading.Timer(30, process.kill)
    impatient.start()
    line = process.stdout.readline()
    impatient.cancel()
    process.kill()
    process.communicate()
    assert line, "nothing was said in 30 s"
    assert json.loads(line)["url"].startswith("http://127.0.0.1:")
