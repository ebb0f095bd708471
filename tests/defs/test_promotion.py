"""The registry, promotion, rollback: who serves, and why, on bundles of the checkerboard world."""

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest

from convcg_assets.defs import promoting
from convcg_assets.defs.canary import Canary, run_canary
from convcg_assets.defs.promoting import decide
from convcg_assets.defs.registry import Registry
from convcg_assets.defs.rollback import roll_back
from convcg_assets.defs.tracking import track_run
from convcg_assets.deployment import Deployment
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.evaluation.verdict import Guard, Verdict
from convcg_model.index import build_index
from convcg_model.training import fit

from ..builds.deployment import make_deployment
from ..builds.logs import make_source
from ..model.conftest import World

T = dt.date(2026, 1, 10)
SMALL = ModelConfig(embedding_dim=8, mlp_sizes=(8,), pin_id_dim=4, content_dim=4)
PASSED = Canary(passed=True, queries=3, p99_ms=1.0, says="It answered.")
GOOD = Guard(name="champion", holds=True, value=0.5, says="It is not worse.")
BAD = Guard(name="baseline: ALS", holds=False, value=float("nan"), says="It loses to ALS.")


def day(number: int) -> dt.date:
    return T + dt.timedelta(days=number)


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setattr(promoting, "run_canary", lambda deployment, model: PASSED)
    return make_deployment(tmp_path / "home", make_source(tmp_path / "landing"))


@pytest.fixture(scope="module")
def world() -> World:
    return World(num_rows=200)


def make_model(
    deployment: Deployment,
    world: World,
    number: int,
    *guards: Guard,
    against: str | None = None,
    seed: int | None = None,
) -> str:
    """A bundle of a day and its report, which holds it against a version; the model version."""
    seed = number if seed is None else seed
    training = TrainingConfig(epochs=1, batch_size=100, seed=seed, device="cpu")
    model = fit(world.examples, world.pins, config=SMALL, training=training, progress=False)
    bundle = build_index(model, world.pins)
    bundle.save(deployment.indexes / f"dt={day(number)}", provenance={"day": str(day(number))})
    write_report(deployment, number, model.model_version, guards or (GOOD,), against=against)
    return model.model_version


def write_report(
    deployment: Deployment,
    number: int,
    model_version: str,
    guards: tuple[Guard, ...],
    *,
    against: str | None,
) -> None:
    bad = [guard.says for guard in guards if not guard.holds]
    verdict = Verdict(promote=not bad, reason=" ".join(bad) or "Every guard holds.", guards=guards)
    served = None if against is None else {"version": against, "day": str(T)}
    context = {
        "model_version": model_version,
        "promotion": verdict.model_dump(mode="json"),
        "in_service": served,
    }
    folder = deployment.reports / f"dt={day(number)}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps({"context": context}))


def serving(deployment: Deployment) -> str | None:
    champion = Registry(deployment).champion()
    return None if champion is None else champion.version


def test_the_first_model_serves_and_a_better_one_takes_its_place(deployment, world):
    assert serving(deployment) is None
    first = make_model(deployment, world, 0)
    decision = decide(deployment, day(0), by="asset")
    assert (decision.promoted, decision.before, decision.version) == (True, None, "1")
    make_model(deployment, world, 1, against="1")
    decision = decide(deployment, day(1), by="asset")
    assert (decision.promoted, decision.before, decision.version) == (True, "1", "2")
    assert decision.canary == PASSED
    written = deployment.promotions / f"dt={day(1)}" / "decision.json"
    assert json.loads(written.read_text())["reason"] == "Every guard holds."
    registry = Registry(deployment)
    history = [(m.before, m.after, m.by, m.why, m.forced) for m in registry.history()]
    assert history == [
        ("1", "2", "asset", "Every guard holds.", False),
        (None, "1", "asset", "Every guard holds.", False),
    ]
    newest, oldest = registry.versions()
    assert (newest.serves, oldest.serves) == (True, False)
    assert oldest.model.model_version == first
    assert newest.tags["promoted"] == "True"
    assert newest.tags["guard.champion"] == "yes: It is not worse."


def test_a_guard_that_fails_keeps_the_champion(deployment, world):
    make_model(deployment, world, 0)
    decide(deployment, day(0), by="asset")
    make_model(deployment, world, 1, GOOD, BAD, against="1")
    decision = decide(deployment, day(1), by="asset")
    assert (decision.promoted, decision.reason) == (False, "It loses to ALS.")
    assert decision.canary is None, "nobody is asked for what is refused anyway"
    assert serving(deployment) == "1"
    tags = Registry(deployment).versions()[0].tags
    assert (tags["promoted"], tags["reason"]) == ("False", "It loses to ALS.")
    assert tags["guard.baseline_ ALS"] == "no: It loses to ALS."


def test_by_force_and_with_a_reason(deployment, world):
    make_model(deployment, world, 0)
    decide(deployment, day(0), by="asset")
    make_model(deployment, world, 1, BAD, against="1")
    decision = decide(deployment, day(1), by="ada", why="a campaign", force=True)
    assert (decision.promoted, decision.reason) == (True, "a campaign")
    move = Registry(deployment).history()[0]
    assert (move.by, move.why, move.forced) == ("ada", "a campaign", True)


@pytest.mark.parametrize("force", [False, True])
def test_no_canary_no_promotion(deployment, world, monkeypatch, force):
    dead = Canary(passed=False, queries=3, p99_ms=None, says="The canary died: status 500")
    monkeypatch.setattr(promoting, "run_canary", lambda deployment, model: dead)
    make_model(deployment, world, 0)
    decision = decide(deployment, day(0), by="asset", why="now", force=force)
    assert (decision.promoted, decision.reason) == (False, dead.says)
    assert serving(deployment) is None


def test_a_canary_that_cannot_start_is_told_and_not_raised(tmp_path, world):
    deployment = make_deployment(tmp_path / "home", make_source(tmp_path / "landing"))
    make_model(deployment, world, 0)
    registry = Registry(deployment)
    with tracked(deployment) as run:
        model = registry.register(day(0), run)
    lost = replace(model, bundle=tmp_path / "nowhere")
    found = run_canary(deployment, lost)
    assert not found.passed
    assert "The canary died" in found.says
    assert "is no index bundle" in found.says
    fine = run_canary(deployment, model)
    assert (fine.passed, fine.queries) == (True, 0)


def tracked(deployment: Deployment):
    return track_run(
        "test",
        tracking_uri=deployment.tracking_uri,
        artifacts=(deployment.home / "mlartifacts").as_uri(),
        tags={},
    )


def test_only_the_newest_model_is_asked(deployment, world):
    make_model(deployment, world, 0)
    make_model(deployment, world, 1)
    decision = decide(deployment, day(0), by="asset")
    assert (decision.promoted, decision.reason) == (False, f"There is a newer model, of {day(1)}.")
    assert decide(deployment, day(1), by="asset").promoted


def test_a_report_against_another_champion_decides_nothing(deployment, world):
    make_model(deployment, world, 0)
    decide(deployment, day(0), by="asset")
    model = make_model(deployment, world, 1)
    decision = decide(deployment, day(1), by="asset")
    assert not decision.promoted
    assert "holds it against no champion, but version 1 serves" in decision.reason
    write_report(deployment, 1, model, (GOOD,), against="1")
    assert decide(deployment, day(1), by="asset").promoted


def test_a_report_that_is_not_there_or_of_another_model(deployment, world):
    with pytest.raises(ValueError, match="there is no model of 2026-01-10 with an index"):
        decide(deployment, day(0), by="asset")
    make_model(deployment, world, 0)
    write_report(deployment, 0, "another", (GOOD,), against=None)
    with pytest.raises(ValueError, match="is of another model than its index"):
        decide(deployment, day(0), by="asset")
    (deployment.reports / f"dt={day(0)}" / "report.json").unlink()
    with pytest.raises(ValueError, match="has no report: `convcg run --last-day 2026-01-09"):
        decide(deployment, day(0), by="asset")


def test_the_same_bundle_is_registered_once_and_another_anew(deployment, world):
    make_model(deployment, world, 0)
    for _ in range(2):
        decide(deployment, day(0), by="asset")
    assert [v.model.version for v in Registry(deployment).versions()] == ["1"]
    make_model(deployment, world, 0, seed=5)
    again = decide(deployment, day(0), by="asset")
    assert again.version == "2"
    assert [m.after for m in Registry(deployment).history()][-1] == "1"


def test_back_and_forth(deployment, world):
    models = [make_model(deployment, world, 0)]
    decide(deployment, day(0), by="asset")
    for number in (1, 2):
        models.append(make_model(deployment, world, number, against=str(number)))
        assert decide(deployment, day(number), by="asset").promoted
    registry = Registry(deployment)
    move = roll_back(registry, None, by="ada", why="prices were wrong")
    assert (move.before, move.after, serving(deployment)) == ("3", "2", "2")
    # It is not promoted again by itself, under whatever version.
    write_report(deployment, 2, models[2], (GOOD,), against="2")
    again = decide(deployment, day(2), by="asset")
    assert not again.promoted
    assert "taken out of service: prices were wrong (ada" in again.reason
    # Once more goes further back, never to what was taken out.
    assert roll_back(registry, None, by="ada", why="still").after == "1"
    with pytest.raises(LookupError, match="no other model has served before"):
        roll_back(registry, None, by="ada", why="again")
    assert roll_back(registry, day(1), by="ada", why="named").after == "2"
    with pytest.raises(LookupError, match="serves already"):
        roll_back(registry, day(1), by="ada", why="named")
    with pytest.raises(LookupError, match="no model of 2026-02-01 is registered"):
        roll_back(registry, dt.date(2026, 2, 1), by="ada", why="named")
    forced = decide(deployment, day(2), by="ada", why="mended", force=True)
    assert forced.promoted
    assert registry.withdrawn(models[2]) is None, "forced, it is not withdrawn any more"


def test_nothing_to_go_back_from(deployment):
    with pytest.raises(LookupError, match="no model serves"):
        roll_back(Registry(deployment), None, by="ada", why="x")


def test_a_damaged_bundle_is_nothing_to_go_back_to(deployment, world):
    make_model(deployment, world, 0)
    decide(deployment, day(0), by="asset")
    make_model(deployment, world, 1, against="1")
    decide(deployment, day(1), by="asset")
    registry = Registry(deployment)
    first = registry.of_day(day(0))
    assert first is not None
    with (first.model.bundle / "embeddings.npy").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"embeddings\.npy: checksum is"):
        roll_back(registry, None, by="ada", why="x")
    assert serving(deployment) == "2"


def test_the_champion_stays_when_old_bundles_go(deployment, world):
    make_model(deployment, world, 0)
    decide(deployment, day(0), by="asset")
    for number in range(1, 5):
        make_model(deployment, world, number, BAD, against="1")
        decide(deployment, day(number), by="asset")
    registry = Registry(deployment)
    assert [m.version for m in registry.remove_old(keep=2, dry_run=True)] == ["3", "2"]
    assert all(v.has_files for v in registry.versions())
    registry.remove_old(keep=2)
    kept = {v.model.version: v.has_files for v in registry.versions()}
    assert kept == {"5": True, "4": True, "3": False, "2": False, "1": True}
    with pytest.raises(LookupError, match="the files of version 2"):
        roll_back(registry, day(1), by="ada", why="x")
    assert serving(deployment) == "1"
    champion = registry.champion()
    assert champion is not None
    assert champion.bundle.is_dir()


def test_one_whose_move_was_cut_off_is_no_part_of_the_history(deployment, world, monkeypatch):
    make_model(deployment, world, 0)
    decide(deployment, day(0), by="asset")
    make_model(deployment, world, 1, against="1")
    client = Registry(deployment)._client
    registry = Registry(deployment)

    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(client), "set_registered_model_alias", fail)
    with tracked(deployment) as run:
        challenger = registry.register(day(1), run)
    with pytest.raises(KeyboardInterrupt):
        registry.move(challenger, by="ada", why="x")
    assert serving(deployment) == "1"
    assert [m.after for m in registry.history()] == ["1"]


def test_the_registered_model_answers_as_mlflow_loads_it(deployment, world, monkeypatch):
    import mlflow

    make_model(deployment, world, 0)
    decide(deployment, day(0), by="asset")
    # It is a variable of the environment, which other tests must not find.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", deployment.tracking_uri)
    loaded = mlflow.pyfunc.load_model("models:/convcg@champion")
    asked = {"user_recent_pin_ids": [3, 5], "user_recent_actions": ["click", "click"]}
    asked |= {"user_recent_age_days": [0.5, 1.0], "surface": "homefeed"}
    import pandas as pd

    answers = loaded.predict(pd.DataFrame([asked, {"surface": "search"}]), params={"k": 4})
    assert [len(pins) for pins in answers["pin_ids"]] == [4, 4]
    assert [sorted(scores, reverse=True) == scores for scores in answers["scores"]] == [True, True]
    champion = Registry(deployment).champion()
    assert champion is not None
    assert set(answers["model_version"]) == {champion.model_version}
