"""The web application: answers, errors, limits, health, metrics, the page."""

import asyncio
import json
import re
import threading

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from convcg_serving.app import MAX_BODY_BYTES, make_app
from convcg_serving.limit_body import LimitBody
from convcg_serving.watcher import Places, Watcher

from ..model.conftest import World
from .conftest import make_champion, write_features

HOSTILE = "<script>alert('x')</script>"


def looking(watcher):
    """The watcher, which has found what there is: a server answers before that with 503."""
    watcher.look()
    return watcher


@pytest.fixture(scope="module")
def client(champion, features):
    watcher = looking(Watcher(lambda: champion, Places(features.parent)))
    with TestClient(make_app(watcher)) as client:
        yield client


def test_candidates(client, champion):
    answer = client.post("/candidates", json={"user_id": 3, "k": 4})
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"pins", "model_version", "version", "features_day", "fallbacks"}
    assert (body["version"], body["model_version"]) == ("1", champion.model_version)
    assert body["features_day"] == "2026-01-05"
    scores = [pin["score"] for pin in body["pins"]]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"user_id": 3, "k": 0}, "k: Input should be greater than or equal to 1"),
        ({"user_id": 3, "k": 1001}, "k: Input should be less than or equal to 1000"),
        ({"user_id": "u3"}, "user_id is 'u3', but such ids are 64-bit integers here"),
        ({"user": 3}, "user: Extra inputs are not permitted"),
        ({"surface": "lobby"}, "surface: Input should be 'homefeed'"),
        ({"filters": {"price": 3}}, "filters.price: Extra inputs are not permitted"),
        ({"exclude_pin_ids": list(range(1001))}, "exclude_pin_ids: Tuple should have at most 1000"),
        ({"query": "x" * 1001}, "query: String should have at most 1000"),
        ({"user_id": True}, "user_id.int: Input should be a valid integer"),
        ({"user_id": 3.5}, "user_id.int: Input should be a valid integer"),
        ({"filters": {"block_pins": [2**63]}}, "is no id here: they are 64-bit integers"),
        ({"filters": {"block_pins": ["p1"]}}, "'p1' is no id here: they are int64"),
        ([], "Input should be a valid dictionary"),
        (
            {"recent_actions": [{"pin_id": 1, "action": "click", "at": "now"}]},
            "recent_actions.0.at",
        ),
    ],
)
def test_bad_input_is_told_what_is_wrong(client, body, said):
    answer = client.post("/candidates", json=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_no_json_and_other_methods(client):
    broken = client.post("/candidates", content=b"{", headers={"content-type": "application/json"})
    assert broken.status_code == 422
    assert client.get("/candidates").status_code == 405
    assert client.get("/nothing").status_code == 404


def test_a_long_body_is_refused_before_it_is_read(client):
    answer = client.post("/candidates", content=b" " * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert "longer than 65,536 bytes" in answer.json()["detail"]


def test_a_body_in_pieces_is_read_up_to_the_limit(client):
    def pieces(*, num):
        yield b'{"user_id": 3, "k": 2'
        yield from [b" " * 1024] * num
        yield b"}"

    kind = {"content-type": "application/json"}
    answer = client.post("/candidates", content=pieces(num=3), headers=kind)
    assert (answer.status_code, len(answer.json()["pins"])) == (200, 2)
    assert client.post("/candidates", content=pieces(num=64), headers=kind).status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for():
    refused: list[int] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it is not to see the request")

    async def no_more() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    limited = LimitBody(app, max_bytes=9, max_seconds=0.01, on_refused=refused.append)
    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"9")]}
    asyncio.run(limited(scope, no_more, send))
    assert (refused, sent[0]["status"]) == ([408], 408)


def test_health_and_metrics(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert (ready.json()["version"], ready.json()["pins"]) == ("1", 40)
    before = metrics(client)
    client.post("/candidates", json={"user_id": 99999, "k": 3})
    client.post("/candidates", json={"k": 0})
    after = metrics(client)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown['convcg_answers_total{status="200"}'] == 1
    assert grown['convcg_answers_total{status="422"}'] == 1
    assert grown["convcg_candidates_total"] == 3
    assert grown['convcg_fallbacks_total{reason="unknown user"}'] == 1
    assert grown["convcg_answer_seconds_count"] == 1
    assert after["convcg_pins"] == 40
    assert after["convcg_features_age_days"] > 0
    assert any(name.startswith("convcg_model_info{") and 'version="1"' in name for name in after)


def metrics(client):
    text = client.get("/metrics").text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#"]
    return {name: float(value) for name, value in lines}


def test_nothing_is_in_service(tmp_path):
    watcher = Watcher(lambda: None, Places(tmp_path))
    with TestClient(make_app(looking(watcher))) as client:
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["fault"]) == (503, "no model has been promoted yet")
        answer = client.post("/candidates", json={"k": 3})
        assert (answer.status_code, answer.json()["detail"]) == (503, "no model is in service yet")
        assert client.get("/metrics").status_code == 200
        assert "no model has been promoted yet" in client.get("/").text


def test_it_lives_while_the_first_model_is_loaded(champion, features):
    loading = threading.Event()

    def find():
        loading.wait(timeout=20)
        return champion

    with TestClient(make_app(Watcher(find, Places(features.parent)))) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        loading.set()
        while client.get("/readyz").status_code != 200:
            pass
        assert client.post("/candidates", json={"user_id": 3, "k": 2}).status_code == 200


def test_the_page_beside_the_champion_of_before(champion, challenger, features, tmp_path):
    def page(find_before):
        watcher = Watcher(lambda: challenger, Places(features.parent), find_before=find_before)
        with TestClient(make_app(looking(watcher))) as client:
            return client.get("/", params={"user_id": "3"}).text

    both = page(lambda: champion)
    assert both.index("Serves now: version 2") < both.index("Served before: version 1")
    gone = type(champion)("1", champion.day, champion.model_version, tmp_path / "gone")
    alone = page(lambda: gone)
    assert "the model before cannot be shown" in alone
    assert "Serves now: version 2" in alone
    assert "Served before" not in page(lambda: None)


def test_the_page(client):
    empty = client.get("/")
    assert empty.status_code == 200
    assert "Some users:" in empty.text
    page = client.get("/", params={"user_id": "3", "surface": "search", "query": "red shoes"}).text
    assert "Candidates of user 3" in page
    assert "12 hours before" in page
    assert "Serves now: version 1, model of 2026-01-05" in page
    assert re.search(r"near Pin \d+|acted on before", page)
    assert '<option value="search" selected>' in page
    nobody = client.get("/", params={"user_id": "424242"}).text
    assert "unknown user" in nobody
    assert "Nothing is known." in nobody


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"user_id": "x"}, "is no id: they are integers here"),
        ({"surface": "lobby"}, "surface: Input should be"),
        ({"subject": str(2**70)}, "such ids are 64-bit integers here"),
    ],
)
def test_the_page_says_what_cannot_be_asked(client, asked, said):
    page = client.get("/", params=asked)
    assert page.status_code == 200
    assert said in page.text


def test_what_logs_hold_is_escaped(tmp_path):
    world = World(string_ids=True, num_rows=200)
    titles = pa.array([HOSTILE] * world.pins.num_rows)
    world.pins = world.pins.append_column("title", titles)
    champion = make_champion(world, tmp_path, version=HOSTILE)
    features = write_features(world, tmp_path / "f").parent
    before = make_champion(world, tmp_path, version=f"0{HOSTILE}", seed=1)
    watcher = looking(Watcher(lambda: champion, Places(features), find_before=lambda: before))
    with TestClient(make_app(watcher)) as client:
        page = client.get("/", params={"user_id": "u00003", "query": HOSTILE}).text
        assert HOSTILE not in page
        assert page.count("&lt;script&gt;") > 20
        assert "Served before: version 0&lt;script&gt;" in page
        assert HOSTILE in json.dumps(client.get("/readyz").json())
        echoed = client.get("/", params={"user_id": HOSTILE, "subject": HOSTILE}).text
        assert HOSTILE not in echoed
