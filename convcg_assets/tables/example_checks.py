"""What `training_examples` must agree on with what could be known: the rows that break it."""

import ibis
from ibis import _

from convcg_assets.tables.finite import numbers_are_finite
from convcg_assets.tables.settings import ExampleSettings
from convcg_assets.tables.table import Check

SPLITS = ("train", "holdout")


def false_negatives(examples: ibis.Table) -> ibis.Table:
    """Hard negatives of a user and a Pin that are a positive of the same training set."""
    training = examples.filter(_.split == "train")
    liked = training.filter(~_.is_negative).select("dt", "user_id", "pin_id").distinct()
    negatives = training.filter(_.is_negative)
    return negatives.semi_join(liked, ["dt", "user_id", "pin_id"]).select(
        "dt", "impression_id", "user_id", "pin_id"
    )


def examples_from_future(examples: ibis.Table, *, settings: ExampleSettings) -> ibis.Table:
    """Examples that their split must not know: what was shown or arrived in its future."""
    first = ibis.interval(days=settings.training_days + settings.holdout_days)
    rows = examples.mutate(
        first_day=(_.dt - first).cast("date"),
        cutoff=(_.dt - ibis.interval(days=settings.holdout_days)).cast("date"),
    )
    is_holdout = _.split == "holdout"
    in_holdout = (_.example_day >= _.cutoff) & (_.example_day < _.dt) & (_.evidence_dt < _.dt)
    in_training = (
        (_.example_day >= _.first_day)
        & (_.example_day < _.cutoff)
        & ((_.evidence_dt < _.cutoff) | _.is_negative)
    )
    in_time = (is_holdout & in_holdout) | (~is_holdout & in_training)
    return rows.filter(~in_time.fill_null(False)).select(
        "dt", "split", "example_day", "impression_id", "evidence_dt"
    )


CHECKS = (
    Check(
        "no_negative_is_positive",
        "No hard negative's user and Pin are a positive of the same training set.",
        error=lambda i: false_negatives(i.own),
    ),
    Check(
        "splits_in_their_time",
        "Training knows nothing of the holdout's days, the holdout nothing of T.",
        error=lambda i: examples_from_future(i.own, settings=i.settings.examples),
    ),
    numbers_are_finite("dt", "impression_id"),
)
