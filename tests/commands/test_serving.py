"""From a trained model to the person who asks, by the commands alone."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator

import httpx2 as httpx
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from convcg_assets.defs import skew_check
from convcg_assets.defs.resources import Warehouse

from .conftest import CONVCG, LAST_DAY, Convcg, Home

MODEL_DAY = LAST_DAY + dt.timedelta(days=1)


def read_json(home: Home, *arguments: str) -> dict:
    done = home.convcg(*arguments, "--json")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def promoted(deployment: Home) -> Home:
    """The demo's model in service, by force: whether its few rows were enough is another matter."""
    if not any(model["serves"] for model in read_json(deployment, "models")["models"]):
        decision = read_json(
            deployment, "promote", str(MODEL_DAY), "--force", "--why", "to try it out"
        )
        assert decision["promoted"]
        assert decision["canary"]["passed"]
        assert decision["canary"]["queries"] == 50
    return deployment


def test_the_decision_of_the_demo_follows_from_its_guards(deployment: Home) -> None:
    path = deployment.home / "promotions" / f"dt={MODEL_DAY}" / "decision.json"
    decision = json.loads(path.read_text())
    report = json.loads((deployment.home / f"reports/dt={MODEL_DAY}/report.json").read_text())
    verdict = report["context"]["promotion"]
    assert decision["guards"] == verdict["guards"]
    if not decision["forced"]:
        assert decision["promoted"] == all(guard["holds"] for guard in verdict["guards"])
    names = {guard["name"] for guard in verdict["guards"]}
    assert {"queries", "index recall", "baseline: popularity", "baseline: ALS"} <= names
    page = (deployment.home / f"reports/dt={MODEL_DAY}/report.html").read_text()
    assert "Into service?" in page


def test_who_serves_and_why(promoted: Home, typed: Convcg) -> None:
    found = json.loads(typed("models", "--json").stdout)
    serving = [model for model in found["models"] if model["serves"]]
    assert [(model["version"], model["day"]) for model in serving] == [("1", str(MODEL_DAY))]
    assert found["history"][-1]["before"] is None
    said = typed("models")
    assert "serves" in said.output
    assert found["history"][0]["why"] in said.output


def test_no_way_back_from_the_first(promoted: Home, typed: Convcg) -> None:
    done = typed("rollback")
    assert done.exit_code == 1
    assert "error: no other model has served before" in done.stderr
    done = typed("promote", "2026-03-01")
    assert done.exit_code == 1
    assert "error: there is no model of 2026-03-01 with an index below" in done.stderr


@pytest.mark.parametrize("arguments", [["--force"], ["--why", "because"]])
def test_force_and_reason_go_together(typed: Convcg, arguments: list[str]) -> None:
    done = typed("promote", MODEL_DAY, *arguments)
    assert done.exit_code == 2
    assert "--why" in done.stderr


@pytest.fixture
def server(promoted: Home) -> Iterator[httpx.Client]:
    process = subprocess.Popen(
        [sys.executable, *CONVCG, "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=promoted.environment,
    )
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    with httpx.Client(base_url=url, timeout=30) as client:
        while client.get("/readyz").status_code != 200:
            pass
        yield client
    process.terminate()
    process.communicate()


def test_the_server_and_the_batch_find_the_same(promoted: Home, server: httpx.Client) -> None:
    """All but what the user bought, which the batch alone leaves out."""
    (promoted.home / "settings.yaml").write_text(
        (promoted.home / "settings.yaml").read_text().split("candidates:")[0]
        + "candidates: {k: 20, bought_days: 0}\n"
    )
    built = promoted.convcg(
        "run", "--last-day", str(LAST_DAY), "--only", "candidates", "--no-checks"
    )
    assert built.returncode == 0, built.stderr[-2000:]
    rows = DeltaTable(promoted.lake.path("candidates")).to_pyarrow_table()
    users = rows["user_id"].unique().to_pylist()
    assert rows.num_rows == 20 * len(users)
    assert set(rows["dt"].to_pylist()) == {MODEL_DAY}
    for user in users[:: max(1, len(users) // 5)]:
        of_user = rows.filter(pc.equal(rows["user_id"], user)).sort_by("rank")
        assert of_user["rank"].to_pylist() == list(range(1, 21))
        answer = server.post("/candidates", json={"user_id": user, "k": 20}).json()
        assert answer["features_day"] == str(MODEL_DAY)
        assert of_user["model_version"][0].as_py() == answer["model_version"]
        scores = [pin["score"] for pin in answer["pins"]]
        assert of_user["score"].to_pylist() == pytest.approx(scores, abs=1e-5)
        assert set(of_user["pin_id"].to_pylist()) == {pin["pin_id"] for pin in answer["pins"]}


def test_what_may_be_shown_and_what_was_bought(promoted: Home) -> None:
    pins = DeltaTable(promoted.lake.path("pins")).to_pyarrow_table()
    newest = pins.filter(pc.equal(pins["dt"], LAST_DAY))
    listed = newest.slice(0, 300)
    countries = ["US" if i % 2 else "" for i in range(300)]
    table = promoted.home / "allowed.csv"
    lines = [f"{p},{c}" for p, c in zip(listed["pin_id"].to_pylist(), countries, strict=True)]
    table.write_text("\n".join(["pin_id,country", *lines]) + "\n")
    (promoted.home / "settings.yaml").write_text(
        (promoted.home / "settings.yaml").read_text().split("candidates:")[0]
        + "candidates: {k: 30, max_per_advertiser: 2, min_price: 5, "
        + f"filter_table: {table}}}\n"
    )
    built = promoted.convcg(
        "run", "--last-day", str(LAST_DAY), "--only", "candidates", "--no-checks"
    )
    assert built.returncode == 0, built.stderr[-2000:]
    rows = DeltaTable(promoted.lake.path("candidates")).to_pyarrow_table().to_pylist()
    of_pin = {row["pin_id"]: row for row in newest.to_pylist()}
    country_of = dict(zip(listed["pin_id"].to_pylist(), countries, strict=True))
    users = DeltaTable(promoted.lake.path("user_features")).to_pyarrow_table()
    of_user = {
        row["user_id"]: row["country"]
        for row in users.filter(pc.equal(users["dt"], MODEL_DAY)).to_pylist()
    }
    sold = DeltaTable(promoted.lake.path("attributed_conversions")).to_pyarrow_table().to_pylist()
    bought = {
        (row["user_id"], row["pin_id"] or row["touch_pin_id"])
        for row in sold
        if row["event_name"] == "checkout" and row["status"] != "duplicate"
    }
    assert rows
    counts: dict[tuple[int, int], int] = {}
    for row in rows:
        pin = of_pin[row["pin_id"]]
        assert pin["price"] >= 5
        assert country_of[row["pin_id"]] in ("", of_user[row["user_id"]])
        assert (row["user_id"], row["pin_id"]) not in bought
        key = (row["user_id"], pin["advertiser_id"])
        counts[key] = counts.get(key, 0) + 1
    assert max(counts.values()) == 2
    assert {country_of[row["pin_id"]] for row in rows} == {"", "US"}


def test_a_refresh_finds_what_is_new(promoted: Home, typed: Convcg) -> None:
    found = json.loads(typed("refresh", "--json").stdout)
    assert found["version"] == "1"
    assert found["added"] >= 0
    folder = promoted.home / "serving" / "pins"
    assert [path.name for path in folder.iterdir()] == [
        model["model_version"] for model in json.loads(typed("models", "--json").stdout)["models"]
    ]


def test_impressions_of_the_demo_are_served_as_they_were_trained_on(
    promoted: Home, typed: Convcg, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = Warehouse()
    found = skew_check.check_skew(warehouse, MODEL_DAY, run_id="by hand")
    assert found.passed, found.description
    assert (found.description or "").endswith("replayed: all as in training")
    examples = skew_check._examples_of(warehouse, LAST_DAY, MODEL_DAY)
    column = examples.column_names.index("user_num_clicks_30d")
    more = pc.add(pc.fill_null(examples["user_num_clicks_30d"], 0), 3)
    for rows, severity, said in (
        (examples.set_column(column, "user_num_clicks_30d", more), "ERROR", "user_num_clicks_30d"),
        (examples.slice(0, 0), "WARN", "nothing to replay"),
    ):
        monkeypatch.setattr(skew_check, "_examples_of", lambda *_, rows=rows: rows)
        found = skew_check.check_skew(warehouse, MODEL_DAY, run_id="by hand")
        assert not found.passed
        assert found.severity.value == severity
        assert said in (found.description or "")
