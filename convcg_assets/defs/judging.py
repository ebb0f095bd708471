"""Holding the model of a day against the one in service: which that is, and what follows."""

import datetime as dt
from typing import TYPE_CHECKING, Any

from convcg_assets.defs.registry import Registry
from convcg_serving.champion import Champion

if TYPE_CHECKING:
    import pyarrow as pa

    from convcg_model.evaluation.result import Evaluation
    from convcg_model.evaluation.verdict import GuardLimits, Verdict
    from convcg_model.index import IndexBundle


def in_service(
    day: dt.date, registry: Registry, before: dict[str, Any] | None, model_version: str
) -> Champion | None:
    """The model that the one of `day` is held against: what serves now, or none.

    Once it serves itself, or a model of a later day does, which has learned from what these
    queries are about, it is the one that its report of before names, as long as its files are
    there. `before` is that report's JSON.
    """
    champion = registry.champion()
    if champion is None:
        return None
    if champion.day <= day and champion.model_version != model_version:
        return champion
    known = None if before is None else before["context"].get("in_service")
    found = None if known is None else registry.find(known["version"])
    return found.model if found is not None and found.has_files else None


def judge_bundle(
    evaluation: "Evaluation",
    bundle: "IndexBundle",
    serving: "IndexBundle | None",
    *,
    queries: "pa.Table",
    catalogue: "pa.Table",
    limits: "GuardLimits",
) -> "Verdict":
    """Whether a model may go into service, told by its evaluation and by what it would serve."""
    from convcg_model.evaluation.guards import judge, quality_guards, served_guards
    from convcg_model.evaluation.served import serve_sample

    sample = serve_sample(bundle, queries, catalogue=catalogue)
    before = None if serving is None else serve_sample(serving, queries, catalogue=catalogue)
    guards = quality_guards(evaluation, limits=limits)
    return judge((*guards, *served_guards(sample, before, limits=limits)), limits=limits)
