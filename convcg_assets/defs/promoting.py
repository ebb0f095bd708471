"""Deciding whether the model of a day goes into service, and letting it: for asset and commands.

The figures are those of the day's report, which asks challenger and champion the same queries
(`evaluation.py`). What is added here is what only the moment can tell: whether the report is about
the models at hand, whether there is a newer one, and whether a server answers with it.
"""

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

from pydantic import Field

from convcg_assets.builds.build import open_build
from convcg_assets.config import Frozen
from convcg_assets.days import Days
from convcg_assets.defs.canary import Canary, run_canary
from convcg_assets.defs.registry import Registry
from convcg_assets.defs.tracking import Run, track_run
from convcg_assets.deployment import Deployment
from convcg_assets.lake.engine import connect
from convcg_assets.tables.artifacts import PROMOTION
from convcg_model.atomic_folder import atomic_folder
from convcg_model.evaluation.verdict import Guard, Verdict
from convcg_serving.champion import Champion

DECISION = PROMOTION.described_in
ASSET = "promotion"
_NOT_TOLD = Verdict(
    promote=False,
    reason="Its report tells no guards: evaluate it again (`--only evaluation_report`).",
    guards=(),
)


class Decision(Frozen):
    """What became of the model of a day, and why."""

    day: dt.date
    version: str = Field(description="Its version in the registry.")
    model_version: str
    promoted: bool
    reason: str
    by: str
    forced: bool
    before: str | None = Field(description="Version that served; null: none did.")
    guards: tuple[Guard, ...]
    canary: Canary | None


def decide(
    deployment: Deployment, day: dt.date, *, by: str, why: str | None = None, force: bool = False
) -> Decision:
    """Promote the model of a day if it is to be, and write down what was decided.

    With `force` the guards are not asked, `why` says what is known better; the canary is asked in
    any case. ValueError where the day has no bundle or no report of it.
    """
    registry = Registry(deployment)
    with track_run(
        f"promotion {day}",
        tracking_uri=deployment.tracking_uri,
        artifacts=(deployment.home / "mlartifacts").as_uri(),
        tags={"asset": ASSET, "partition": str(day)},
    ) as run:
        decision = _decide(deployment, registry, day, run, by=by, why=why, force=force)
        _track(run, decision)
    return decision


def decide_and_record(
    deployment: Deployment, day: dt.date, *, by: str, why: str | None, force: bool
) -> Decision:
    """As `decide`, for who is no run: the ledger is told what the decision rests on."""
    con = connect(memory_limit="1GB")
    try:
        with open_build(deployment, ASSET, Days(day, day), con=con) as build:
            decision = decide(deployment, day, by=by, why=why, force=force)
            build.record_artifact(day)
    finally:
        con.disconnect()
    return decision


def _decide(
    deployment: Deployment,
    registry: Registry,
    day: dt.date,
    run: Run,
    *,
    by: str,
    why: str | None,
    force: bool,
) -> Decision:
    context = _report_of(deployment, day)["context"]
    champion = registry.champion()
    challenger = registry.register(day, run)
    verdict = _NOT_TOLD
    if context.get("promotion") is not None:
        verdict = Verdict.model_validate(context["promotion"])
    refused = _refusal(
        deployment,
        challenger,
        champion,
        judged_against=context.get("in_service"),
        withdrawn=registry.withdrawn(challenger.model_version),
    )
    serves = champion is not None and champion.version == challenger.version
    promote = not serves and (force or (refused is None and verdict.promote))
    reason = why if force and why else refused or verdict.reason
    canary = run_canary(deployment, challenger) if promote else None
    if canary is not None and not canary.passed:
        promote, reason = False, canary.says
    if promote:
        registry.move(challenger, by=by, why=reason, forced=force)
    decision = Decision(
        day=day,
        version=challenger.version,
        model_version=challenger.model_version,
        promoted=promote or serves,
        reason=f"It serves already. {reason}" if serves else reason,
        by=by,
        forced=force,
        before=None if champion is None else champion.version,
        guards=verdict.guards,
        canary=canary,
    )
    with atomic_folder(deployment.promotions / f"dt={day}") as folder:
        (folder / DECISION).write_text(decision.model_dump_json(indent=1), encoding="utf-8")
    registry.tag(challenger, {"promoted": str(decision.promoted), "reason": decision.reason})
    registry.tag(
        challenger,
        {f"guard.{guard.name}": f"{_holds(guard)}: {guard.says}" for guard in verdict.guards},
    )
    return decision


def _report_of(deployment: Deployment, day: dt.date) -> dict[str, Any]:
    """The report of the bundle of a day; ValueError, with what to do, where there is none."""
    again = f"`convcg run --last-day {day - dt.timedelta(days=1)} --only evaluation_report`"
    described = _read(deployment.indexes / f"dt={day}" / "index.json")
    if described is None:
        raise ValueError(f"there is no model of {day} with an index below {deployment.indexes}")
    report = _read(deployment.reports / f"dt={day}" / "report.json")
    if report is None:
        raise ValueError(f"the model of {day} has no report: {again} makes one")
    if report["context"]["model_version"] != described["model_version"]:
        raise ValueError(f"the report of {day} is of another model than its index: {again}")
    return report


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _refusal(
    deployment: Deployment,
    challenger: Champion,
    champion: Champion | None,
    *,
    judged_against: dict[str, Any] | None,
    withdrawn: str | None,
) -> str | None:
    """Why no guard is even asked; None where they are."""
    if withdrawn is not None:
        return f"This model was taken out of service: {withdrawn}"
    newest = max(
        dt.date.fromisoformat(path.parent.name.removeprefix("dt="))
        for path in deployment.indexes.glob("dt=????-??-??/index.json")
    )
    if newest > challenger.day:
        return f"There is a newer model, of {newest}."
    if champion is None or champion.version == challenger.version:
        return None
    if champion.day > challenger.day:
        return f"The champion is of a later day, {champion.day}."
    judged = None if judged_against is None else judged_against["version"]
    if judged != champion.version:
        return (
            f"The report of {challenger.day} holds it against "
            f"{'no champion' if judged is None else f'version {judged}'}, but version "
            f"{champion.version} serves: `convcg run --last-day "
            f"{challenger.day - dt.timedelta(days=1)} --only evaluation_report --only promotion` "
            "judges it anew."
        )
    return None


def _track(run: Run, decision: Decision) -> None:
    run.log_params(
        {
            "version": decision.version,
            "promoted": decision.promoted,
            "reason": decision.reason,
            "before": decision.before or "none",
        }
    )
    told = {guard.name: guard.value for guard in decision.guards if guard.value is not None}
    run.log_metrics({name: value for name, value in told.items() if math.isfinite(value)})


def _holds(guard: Guard) -> str:
    return "yes" if guard.holds else "no" if guard.holds is False else "cannot be told"
