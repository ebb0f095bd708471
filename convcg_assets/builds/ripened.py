"""What a model is judged on: its held-out examples with the labels that have arrived since."""

import datetime as dt

import ibis
import pyarrow as pa
import pyarrow.compute as pc
from ibis import _

from convcg_assets.builds.build import Build
from convcg_assets.days import Days
from convcg_assets.lake.delta import NO_VERSION
from convcg_assets.tables.training_examples import build_examples


def ripened_examples(build: Build, *, day: dt.date, known_before: dt.date) -> ibis.Table:
    """The held-out examples of the model of `day`, with the labels that arrived before a later day.

    `build` is one of `evaluation_report`.
    """
    settings = build.deployment.settings
    lake = build.deployment.lake
    rows = build_examples(
        build.read("weighted_labels"),
        lake.read("hard_negatives", build.days, con=build.con, version=NO_VERSION),
        build.read("example_features"),
        build.read_days("conversion_delay", Days(known_before, known_before)),
        settings=settings.examples,
        delay=settings.delay,
        days=Days(day, day),
        known_before=known_before,
    )
    return rows.filter(_.split == "holdout")


def judged_rows(build: Build, day: dt.date, *, known_before: dt.date) -> tuple[pa.Table, pa.Table]:
    """The day's examples, the held-out ones as known before a later day, and the held-out days'
    Pins. `build` is one of `evaluation_report`."""
    order = ("impression_id", "task", "is_negative")
    con = build.con
    train = build.read("training_examples").filter(_.split == "train")
    holdout = ripened_examples(build, day=day, known_before=known_before)
    examples = pa.concat_tables(
        con.to_pyarrow(rows.order_by(*order)) for rows in (train, holdout.select(train.columns))
    )
    return examples, con.to_pyarrow(build.read("pin_features").order_by("dt", "pin_id"))


def newest_rows(pins: pa.Table) -> pa.Table:
    """Of rows in the order of `dt` those of the newest day."""
    return pins.filter(pc.equal(pins["dt"], pins["dt"][-1]))
