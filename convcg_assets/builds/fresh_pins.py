"""The Pins as of now, for a server between two trainings: what came and went since a bundle."""

import datetime as dt

import ibis
import pyarrow as pa
from ibis import _
from ibis.backends.duckdb import Backend

from convcg_assets.builds.rows import Rows
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment

STATIC = ("pin_id", "advertiser_id", "category", "price", "title", "content", "content_version")


def pins_of_now(deployment: Deployment, *, con: Backend) -> tuple[dt.date, pa.Table]:
    """(day of the newest catalogue, a row of Pin features for each of its Pins).

    What is static is of the newest snapshot of `pins`, today's if it has landed; counters are those
    of the newest `pin_features`, and 0 of a Pin that these do not know yet. LookupError where no
    catalogue was read.
    """
    rows, lake = Rows(deployment), deployment.lake
    snapshots, known = lake.days("pins"), lake.days("pin_features")
    if not snapshots or not known:
        raise LookupError("no catalogue of Pins was read yet: `convcg run` reads what has landed")
    newest, day = snapshots[-1], known[-1]
    pins = rows.read("pins", Days(newest, newest), con=con)
    features = rows.read("pin_features", Days(day, day), con=con)
    counters = [name for name in features.columns if name not in (*STATIC, "dt", "age_days")]
    joined = pins.left_join(features.select("pin_id", "age_days", *counters), "pin_id")
    as_of = ibis.literal(max(newest, day), "date").cast("timestamp")
    age = (as_of.epoch_seconds() - joined.created_ts.epoch_seconds()) / 86_400
    shown = joined.select(
        *STATIC,
        age_days=ibis.greatest(ibis.coalesce(age, joined.age_days, 0.0), 0.0),
        **{name: _[name].fill_null(0) for name in counters if _is_counter(name)},
        **{name: _[name] for name in counters if not _is_counter(name)},
    )
    return newest, con.to_pyarrow(shown.order_by("pin_id"))


def _is_counter(name: str) -> bool:
    return name.startswith(("num_", "conversion_value"))
