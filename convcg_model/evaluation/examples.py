"""Example queries of an evaluation, for a person to look at.

They are drawn by a hash, not by how well the model did on them, so that they can be believed.
"""

import hashlib
from collections.abc import Mapping
from datetime import date
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import pyarrow as pa

from convcg_model.evaluation.result import (
    Action,
    EvaluationConfig,
    ExampleQuery,
    PinCard,
    ResultPin,
)
from convcg_model.evaluation.scorers import Scorer, query_side, rows_of

_CARD_COLUMNS = ["pin_id", "title", "category", "price", "advertiser_id"]


def example_queries(
    queries: pa.Table,
    *,
    snapshots: Mapping[date, pa.Table],
    score: Scorer | None,
    ranks: Mapping[str, np.ndarray],
    config: EvaluationConfig,
) -> tuple[ExampleQuery, ...]:
    """`num_examples` conversion queries, the surfaces in turn; none without the model's scorer."""
    if score is None:
        return ()
    return tuple(
        _example(
            queries.slice(row, 1),
            pins=snapshots[queries["example_day"][row].as_py()],
            score=score,
            ranks={
                name: float(rank_Q[row]) if np.isfinite(rank_Q[row]) else None
                for name, rank_Q in ranks.items()
            },
            num_results=config.num_results,
        )
        for row in _choose(queries, num_examples=config.num_examples)
    )


def _choose(queries: pa.Table, *, num_examples: int) -> list[int]:
    """Row numbers: conversions first, surfaces in turn, each in the order of a hash."""
    by_surface: dict[tuple[bool, str], list[tuple[bytes, int]]] = {}
    columns = (queries[name].to_pylist() for name in ("task", "surface", "impression_id"))
    for row, (task, surface, impression_id) in enumerate(zip(*columns, strict=True)):
        digest = hashlib.blake2b(f"example {impression_id}".encode(), digest_size=8).digest()
        by_surface.setdefault((task != "conversion", surface or ""), []).append((digest, row))
    chosen: list[int] = []
    for is_engagement in (False, True):
        lists = [sorted(by_surface[key]) for key in sorted(by_surface) if key[0] == is_engagement]
        chosen += [item[1] for item in chain(*zip_longest(*lists)) if item is not None]
    return chosen[:num_examples]


def _example(
    query: pa.Table,
    *,
    pins: pa.Table,
    score: Scorer,
    ranks: dict[str, float | None],
    num_results: int,
) -> ExampleQuery:
    row: dict[str, Any] = query.to_pylist()[0]
    scores_N = score(query_side(query), pins)[0]
    best = np.argsort(-scores_N, kind="stable")[:num_results]
    recent_ids = row["user_recent_pin_ids"] or []
    subject_id = row["subject_pin_id"]
    known = _cards(
        [*pins["pin_id"].take(best).to_pylist(), *recent_ids, row["pin_id"], subject_id], pins=pins
    )
    actions, ages = row["user_recent_actions"] or [], row["user_recent_age_days"] or []
    return ExampleQuery(
        task=row["task"],
        day=row["example_day"],
        impression_id=str(row["impression_id"]),
        user_id=str(row["user_id"]),
        surface=row["surface"],
        subject=None if subject_id is None else known[subject_id],
        query=row["query"],
        seen_before=row["seen_before"],
        match_level=row.get("match_level"),
        recent=tuple(
            Action(pin=known[pin_id], action=action, age_days=age)
            for pin_id, action, age in zip_longest(recent_ids, actions, ages)
        ),
        results=tuple(
            ResultPin(
                pin=known[pin_id],
                score=float(scores_N[column]),
                is_target=pin_id == row["pin_id"],
                is_recent=pin_id in recent_ids,
            )
            for column, pin_id in zip(best, pins["pin_id"].take(best).to_pylist(), strict=True)
        ),
        target=known[row["pin_id"]],
        ranks=ranks,
    )


def _cards(pin_ids: list[Any], *, pins: pa.Table) -> dict[Any, PinCard]:
    """Cards of the Pins; one that is not in the snapshot has its id only."""
    ids = pa.chunked_array([pa.array(pin_ids, type=pins["pin_id"].type)])
    rows = rows_of(ids, among=pins["pin_id"])
    cards = {id_: PinCard(pin_id=str(id_)) for id_ in pin_ids}
    for card in pins.select(_CARD_COLUMNS).take(rows[rows >= 0]).to_pylist():
        shown = {
            name: value if value is None or name in ("price", "title") else str(value)
            for name, value in card.items()
        }
        cards[card["pin_id"]] = PinCard.model_validate(shown)
    return cards
