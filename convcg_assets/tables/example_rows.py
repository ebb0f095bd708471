"""The positives and hard negatives that a model of day T may learn from, or is judged on.

Their features stand in `example_features.py`. What a label weighs belongs to `evidence.py`, how
ripe it is to `maturity.py`.
"""

import datetime as dt

import ibis
from ibis import _

from convcg_assets.days import Days
from convcg_assets.tables.exact import SHARE_DECIMALS, double, exact_sum
from convcg_assets.tables.example_features import newest_evidence
from convcg_assets.tables.maturity import with_maturity
from convcg_assets.tables.settings import DelaySettings, ExampleSettings
from convcg_assets.tables.standing import holds_on
from convcg_assets.tables.user_persons import with_other_ids

EXAMPLE = (
    "dt",
    "split",
    "example_day",
    "impression_id",
    "user_id",
    "pin_id",
    "advertiser_id",
    "impression_ts",
    "surface",
    "subject_pin_id",
    "query",
    "task",
    "is_negative",
    "touch_type",
    "match_level",
    "match_factor",
    "label_weight",
    "maturity",
    "maturity_factor",
    "weight",
    "evidence_dt",
)
_OF_IMPRESSION = (
    "user_id",
    "pin_id",
    "advertiser_id",
    "impression_ts",
    "surface",
    "subject_pin_id",
    "query",
)


def positives(
    labels: ibis.Table,
    curves: ibis.Table,
    days: Days,
    *,
    settings: ExampleSettings,
    delay: DelaySettings,
    known_before: dt.date | None,
) -> ibis.Table:
    """One row per T, impression and task, the evidence that had arrived summed and weighed."""
    known = _known(labels.rename(example_day="dt"), days, settings=settings)
    held_out_until = known.day if known_before is None else ibis.literal(known_before, "date")
    known = known.mutate(as_of=(known.split == "holdout").ifelse(held_out_until, known.cutoff))
    known = known.filter(*_is_known(known, known.as_of), known.weight > 0)
    one_value = {c: known[c].max() for c in _OF_IMPRESSION}
    # A label may rest on several touches. The strongest type stands for it (click, engagement,
    # view), and the strongest match (Pin, advertiser).
    grouped = known.group_by("day", "split", "example_day", "impression_id", "task", "as_of").agg(
        **one_value,
        touch_type=known.touch_type.min(),
        match_level=known.match_level.max(),
        match_factor=known.match_factor.max(),
        label_weight=exact_sum(known.weight, decimals=SHARE_DECIMALS),
        evidence_dt=newest_evidence(known).max(),
    )
    rows = grouped.mutate(is_negative=ibis.literal(False)).rename(impression_day="example_day")
    conversions = rows.filter(rows.task == "conversion").mutate(one=ibis.literal(1, "int64"))
    waited = 0 if known_before is None else (known_before - days.last).days
    ages = {
        "train": range(settings.training_days),
        "holdout": range(waited, waited + settings.holdout_days),
    }
    # Split by split: a day may be the cutoff of one T and the other T itself.
    of_splits = (
        with_maturity(
            conversions.filter(_.split == split),
            curves,
            settings=delay,
            num_days=delay.maturity_days,
            ages=ages[split],
            num_labels="one",
        ).drop("one")
        for split in ages
    )
    weighed = ibis.union(
        *of_splits,
        rows.filter(rows.task != "conversion").mutate(
            maturity=double(1), maturity_factor=double(1)
        ),
    )
    weighed = weighed.mutate(weight=_.label_weight * _.maturity_factor)
    return weighed.rename(dt="day", example_day="impression_day").select(*EXAMPLE)


def hard_negatives(
    negatives: ibis.Table,
    labels: ibis.Table,
    days: Days,
    *,
    settings: ExampleSettings,
    persons: ibis.Table | None = None,
) -> ibis.Table:
    """Hard negatives of the training days that, as known before the holdout, still are ones."""
    known = _known(negatives.rename(example_day="dt"), days, settings=settings).filter(
        _.split == "train",
        _.impression_dt < _.cutoff,
        _.engaged_dt.isnull() | (_.engaged_dt >= _.cutoff),
    )
    evidence = _known(labels.rename(example_day="dt"), days, settings=settings)
    liked = evidence.filter(*_is_known(evidence, evidence.cutoff))
    liked = liked.select("day", "cutoff", "user_id", "pin_id")
    liked = with_other_ids(liked, persons, day="cutoff").select("day", "user_id", "pin_id")
    kept = known.anti_join(liked.distinct(), ["day", "user_id", "pin_id"])
    return (
        kept.mutate(
            task=ibis.null("string"),
            is_negative=ibis.literal(True),
            touch_type=ibis.null("string"),
            match_level=ibis.null("string"),
            match_factor=double(1),
            label_weight=double(1),
            maturity=double(1),
            maturity_factor=double(1),
            weight=double(1),
            evidence_dt=ibis.null("date"),
        )
        .rename(dt="day")
        .select(*EXAMPLE)
    )


def _known(rows: ibis.Table, days: Days, *, settings: ExampleSettings) -> ibis.Table:
    """Each row once for every T that looks at its example day, with `cutoff` and `split`."""
    num_days = settings.training_days + settings.holdout_days
    paired = rows.inner_join(days.lookback("example_day", num_days=num_days), "example_day")
    cutoff = (paired.day - ibis.interval(days=settings.holdout_days)).cast("date")
    return paired.mutate(
        cutoff=cutoff, split=(paired.example_day >= cutoff).ifelse("holdout", "train")
    )


def _is_known(labels: ibis.Table, day: ibis.Value) -> tuple[ibis.Value, ...]:
    """Whether a label was known before a day, and still held by what was."""
    known_on = ibis.greatest(labels.impression_dt, newest_evidence(labels))
    return known_on < day, *holds_on(labels, day)
