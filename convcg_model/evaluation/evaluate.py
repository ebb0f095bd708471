"""Evaluation of scorers on held-out positives, each a query with one relevant Pin.

A query is asked with the features and the context of its impression; the candidates are all Pins of
its day's snapshot, which was known before the day. Labels go on arriving, so the model of a day is
evaluated again as they ripen; until then each query counts its maturity factor. Nothing here knows
where tables lie or how a report looks.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.evaluation.examples import example_queries
from convcg_model.evaluation.figures import summarise
from convcg_model.evaluation.metrics import target_ranks
from convcg_model.evaluation.result import Evaluation, EvaluationConfig, LabelDay, TaskQueries
from convcg_model.evaluation.scorers import Scorer, query_side, rows_of
from convcg_model.evaluation.slices import Groups, slice_queries, sort_key
from convcg_model.evaluation.weights import match_factors, maturity, maturity_factors, num_capped

TASKS = ("conversion", "engagement")


def evaluate(
    examples: pa.Table,
    *,
    pin_features: pa.Table,
    scorers: Mapping[str, Scorer],
    config: EvaluationConfig | None = None,
    day_maturity: Mapping[date, float] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Rank the held-out Pins by every scorer, and sum up per task and slice.

    `examples` is `training_examples` of one day T, both splits: the held-out positives are the
    queries, the train split tells known users and big advertisers from others. The held-out
    positives are those that arrived before `config.as_of`, each weighted by its `maturity_factor`
    as of that day and its `match_factor`; without these columns each counts once. `pin_features`
    holds the snapshots of (at least) the held-out days. `day_maturity` is the share of each
    held-out day's conversions that is estimated to have arrived; without it that is told from the
    factors, which days may share.
    `on_progress` is told the number of queries done and of all, chunk by chunk. The order of rows
    changes nothing.

    ValueError: several days T, `as_of` before T, no held-out positives, a maturity factor below 1
    or above its cap, a held-out day without a snapshot, or a scorer that returns another shape or
    NaN.
    """
    config = config or EvaluationConfig()
    if len(days := examples["dt"].unique()) != 1:
        raise ValueError(f"examples must be of one day T, and hold {len(days)} days")
    day = days[0].as_py()
    as_of = config.as_of or day
    if as_of < day:
        raise ValueError(
            f"the model of {day} cannot be evaluated as of {as_of}: it knows what arrived later; "
            f"as_of must be {day} or later"
        )
    train = examples.filter(pc.field("split") == "train")
    holdout = held_out(examples)
    snapshots = snapshots_of(pin_features, days=sorted(holdout["example_day"].unique().to_pylist()))
    queries = choose_queries(holdout, config=config)
    ranks, not_indexed = rank_queries(
        queries, snapshots=snapshots, scorers=scorers, config=config, on_progress=on_progress
    )
    groups = slice_queries(
        queries, train=train, not_indexed=not_indexed, new_pin_days=config.new_pin_days
    )
    task_Q = np.array(queries["task"].to_pylist())
    user_Q = queries["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    factor_Q = maturity_factors(queries, max_factor=config.max_maturity_factor)
    match_Q = match_factors(queries)
    figures, differences = [], []
    for task, dimension, group, chosen in _slices(task_Q, groups):
        of_slice = summarise(
            {name: values[chosen] for name, values in ranks.items()},
            user_Q=user_Q[chosen],
            factor_Q=None if factor_Q is None else factor_Q[chosen],
            match_Q=match_Q[chosen],
            where=(task, dimension, group),
            config=config,
        )
        figures += of_slice[0]
        differences += of_slice[1]
    return Evaluation(
        day=day,
        as_of=as_of,
        config=config,
        scorers=tuple(scorers),
        tasks=tuple(
            _task_queries(
                task,
                positives=holdout.filter(pc.field("task") == task),
                queries=queries.filter(pc.field("task") == task),
                num_targets_not_indexed=int(not_indexed[task_Q == task].sum()),
                max_factor=config.max_maturity_factor,
            )
            for task in TASKS
        ),
        label_days=_label_days(
            holdout, as_of=as_of, snapshots=snapshots, day_maturity=day_maturity
        ),
        figures=tuple(figures),
        differences=tuple(differences),
        examples=example_queries(
            queries,
            snapshots=snapshots,
            score=scorers.get(config.model),
            ranks=ranks,
            config=config,
        ),
    )


def held_out(examples: pa.Table) -> pa.Table:
    """The held-out positives, in an order of their own; ValueError where there are none."""
    holdout = examples.filter((pc.field("split") == "holdout") & ~pc.field("is_negative"))
    if holdout.num_rows == 0:
        day = examples["dt"][0].as_py() if examples.num_rows else None
        raise ValueError(
            f"nothing to evaluate on day {day}: no held-out positives among "
            f"{examples.num_rows} training examples; longer holdout days would give some"
        )
    return holdout.sort_by("impression_id")


def choose_queries(holdout: pa.Table, *, config: EvaluationConfig) -> pa.Table:
    """At most `max_queries` held-out positives of each task, task by task."""
    return pa.concat_tables(
        _sample(holdout.filter(pc.field("task") == task), size=config.max_queries) for task in TASKS
    )


def snapshots_of(pin_features: pa.Table, *, days: list[date]) -> dict[date, pa.Table]:
    """The candidates of each held-out day, which is any row of `pin_features` with that dt."""
    snapshots = {
        day: pin_features.filter(pc.field("dt") == pa.scalar(day, pa.date32())) for day in days
    }
    if missing := [str(day) for day, pins in snapshots.items() if pins.num_rows == 0]:
        raise ValueError(
            f"pin_features has no rows for the held-out days {', '.join(missing)}: "
            "their candidates are the Pins known before each day; build pin_features for them"
        )
    return snapshots


def _sample(positives: pa.Table, *, size: int) -> pa.Table:
    """At most `size` rows, by a hash of their impression: the same ones on every rebuild."""
    if positives.num_rows <= size:
        return positives
    hashes = [
        hashlib.blake2b(str(id_).encode(), digest_size=8).digest()
        for id_ in positives["impression_id"].to_pylist()
    ]
    return positives.take(np.sort(np.argsort(np.array(hashes), kind="stable")[:size]))


def rank_queries(
    queries: pa.Table,
    *,
    snapshots: Mapping[date, pa.Table],
    scorers: Mapping[str, Scorer],
    config: EvaluationConfig,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rank of every query's Pin by scorer [Q], and whether it is missing among the candidates."""
    ranks = {name: np.full(queries.num_rows, np.inf) for name in scorers}
    not_indexed = np.zeros(queries.num_rows, dtype=bool)
    asked = query_side(queries)
    day_Q = np.array(queries["example_day"].to_pylist())
    num_done = 0
    for day, pins in snapshots.items():
        of_day = np.flatnonzero(day_Q == day)
        chunk = max(1, config.max_cells // pins.num_rows)
        for start in range(0, len(of_day), chunk):
            rows = of_day[start : start + chunk]
            target = rows_of(queries["pin_id"].take(rows), among=pins["pin_id"])
            not_indexed[rows] = target < 0
            asked_rows = asked.take(rows)
            for name, score in scorers.items():
                scores = score(asked_rows, pins)
                if scores.shape != (len(rows), pins.num_rows):
                    raise ValueError(
                        f"scorer {name!r} returned {scores.shape} for {len(rows)} queries and "
                        f"{pins.num_rows} Pins of {day}"
                    )
                ranks[name][rows] = target_ranks(scores, target_Q=target)
            num_done += len(rows)
            if on_progress:
                on_progress(num_done, queries.num_rows)
    return ranks, not_indexed


def _slices(task_Q: np.ndarray, groups: Groups) -> Iterator[tuple[str, str, str, np.ndarray]]:
    """(task, dimension, group, row numbers) of every slice that holds a query."""
    for task in TASKS:
        of_task = np.flatnonzero(task_Q == task)
        if len(of_task):
            yield task, "all", "all", of_task
        for dimension, of in groups.items():
            group_Q = np.array([group or "" for group in of])[of_task]
            for group in sorted(set(group_Q.tolist()) - {""}, key=sort_key):
                yield task, dimension, group, of_task[group_Q == group]


def _task_queries(
    task: str,
    *,
    positives: pa.Table,
    queries: pa.Table,
    num_targets_not_indexed: int,
    max_factor: float | None,
) -> TaskQueries:
    """The queries of a task, among its held-out positives."""
    return TaskQueries(
        task=task,
        num_positives=positives.num_rows,
        num_queries=queries.num_rows,
        num_users=len(queries["user_id"].unique()),
        maturity=maturity(maturity_factors(positives)),
        num_capped=num_capped(maturity_factors(queries), max_factor=max_factor),
        num_targets_not_indexed=num_targets_not_indexed,
    )


def _label_days(
    holdout: pa.Table,
    *,
    as_of: date,
    snapshots: Mapping[date, pa.Table],
    day_maturity: Mapping[date, float] | None,
) -> tuple[LabelDay, ...]:
    """Per held-out day its labels, their age on `as_of`, and how many have arrived by then."""
    found = []
    for day, pins in snapshots.items():
        of_day = holdout.filter(pc.field("example_day") == pa.scalar(day, pa.date32()))
        conversions = of_day.filter(pc.field("task") == "conversion")
        found.append(
            LabelDay(
                day=day,
                label_age_days=(as_of - day).days,
                num_conversions=conversions.num_rows,
                conversion_maturity=(
                    maturity(maturity_factors(conversions))
                    if day_maturity is None
                    else day_maturity.get(day)
                ),
                num_engagements=of_day.filter(pc.field("task") == "engagement").num_rows,
                num_candidates=pins.num_rows,
            )
        )
    return tuple(found)
