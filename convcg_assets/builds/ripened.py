"""The held-out examples of a model, with the labels that have arrived since."""

import datetime as dt

import ibis
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
