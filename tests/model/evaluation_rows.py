"""Held-out rows, Pins and scorers of a few letters, whose figures are worked out by hand."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from convcg_model.evaluation.result import Estimate, EvaluationConfig

T = date(2026, 1, 10)
D = T - timedelta(days=2)
CONFIG = EvaluationConfig(recall_ks=(1, 2), ndcg_k=2, headline_k=2, num_resamples=20)
NO_DIFFERENCE = Estimate(value=0, low=0, high=0, unweighted=0)
ROW = {
    "dt": T,
    "split": "holdout",
    "example_day": D,
    "impression_id": "i0",
    "user_id": "u0",
    "pin_id": "a",
    "advertiser_id": None,
    "surface": "homefeed",
    "subject_pin_id": None,
    "query": None,
    "task": "conversion",
    "is_negative": False,
    "touch_type": None,
    "seen_before": False,
    "user_recent_pin_ids": [],
    "user_recent_actions": [],
    "user_recent_age_days": [],
    "pin_age_days": None,
}
SCHEMA = pa.schema(
    [
        *((name, pa.date32()) for name in ("dt", "example_day")),
        *((name, pa.bool_()) for name in ("is_negative", "seen_before")),
        ("user_recent_pin_ids", pa.list_(pa.string())),
        ("user_recent_actions", pa.list_(pa.string())),
        ("user_recent_age_days", pa.list_(pa.float64())),
        ("pin_age_days", pa.float64()),
    ]
)


def examples(*rows):
    fields = [
        SCHEMA.field(name) if name in SCHEMA.names else pa.field(name, pa.string()) for name in ROW
    ]
    return pa.Table.from_pylist(
        [ROW | {"impression_id": f"i{i}"} | row for i, row in enumerate(rows)], pa.schema(fields)
    )


def pin_features(ids="abc", *, day=D):
    num = len(ids)
    return pa.table(
        {
            "dt": pa.array([day] * num),
            "pin_id": list(ids),
            "title": [f"title of {id_}" for id_ in ids],
            "category": ["hats"] * num,
            "price": [9.5] * num,
            "advertiser_id": ["shop"] * num,
        }
    )


def alphabetical(queries, pins):
    """Scores Pins from a to z, the same for everyone."""
    letters = [-ord(id_) for id_ in pins["pin_id"].to_pylist()]
    return np.tile(np.array(letters, dtype=float), (queries.num_rows, 1))


def backwards(queries, pins):
    return -alphabetical(queries, pins)


def value(evaluation, metric, **where):
    figures = evaluation.find(**({"scorer": "model", "task": "conversion"} | where))
    return figures.metrics[metric].value
