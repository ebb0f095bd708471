"""`example_features`: what was known on its own day of every impression that is an example.

Stored once by impression day, for all days T that learn from it: which of them do, and with what
weight, is a selection of each T (`training_examples.py`).
"""

from dataclasses import replace

import ibis
from ibis import _

from convcg_assets.sources.columns import Column, Columns
from convcg_assets.tables.finite import numbers_are_finite
from convcg_assets.tables.pin_features import PIN_FEATURES
from convcg_assets.tables.table import Input, Inputs, Scope, Table
from convcg_assets.tables.user_features import USER_FEATURES
from convcg_assets.tables.user_persons import persons_input, read_persons, with_other_ids

SEEN_DAYS = 30
"""`seen_before` looks back so many days."""
NOT_JOINED = ("dt", "pin_id", "advertiser_id", "title", "content", "content_version")
"""Of a Pin's features: what the example says itself, and what is looked up by Pin."""


def _features(side: str, table: Table, *, without: tuple[str, ...]) -> Columns:
    """A side's features under its prefix; of an example they may be unknown."""
    kept = {name: column for name, column in table.columns.items() if name not in without}
    return {f"{side}_{name}": replace(column, required=False) for name, column in kept.items()}


FEATURES: Columns = {
    "seen_before": Column(
        "boolean",
        "the user was shown this Pin, or acted on it or bought it, in a log before D",
        required=True,
    ),
    **_features("user", USER_FEATURES, without=("dt", "user_id")),
    **_features("pin", PIN_FEATURES, without=NOT_JOINED),
}
"""What an example has beside the impression and its labels."""
COLUMNS: Columns = {
    "dt": Column("date", "impression day D: features are those of D"),
    "impression_id": Column(
        "id:impression_id", "an impression with a label, or a hard negative", required=True
    ),
    "user_id": Column("id:user_id", "who", required=True),
    "pin_id": Column("id:pin_id", "the Pin shown", required=True),
    "known_dt": Column(
        "date",
        "the day on which the first arrived that makes it an example: no day T up to it reads this",
        required=True,
    ),
    **FEATURES,
}


def inputs(scope: Scope) -> tuple[Input, ...]:
    """The examples and features of the day, and the events that tell what was met before."""
    events = ("impressions", "engagements", "attributed_conversions")
    return (
        Input("weighted_labels"),
        Input("hard_negatives"),
        Input("user_features"),
        Input("pin_features"),
        *(Input(table, before=SEEN_DAYS, after=-1) for table in events),
        *persons_input(scope),
    )


def rows(inputs: Inputs) -> ibis.Table:
    """The impressions of the days that are examples."""
    shown = examples_shown(inputs["weighted_labels"], inputs["hard_negatives"])
    seen = seen_pairs(
        shown,
        impressions=inputs["impressions"],
        engagements=inputs["engagements"],
        attributed=inputs["attributed_conversions"],
        persons=read_persons(inputs),
    )
    shown = shown.left_join(seen, ["dt", "user_id", "pin_id"])
    shown = shown.select(
        "dt",
        "impression_id",
        "user_id",
        "pin_id",
        "known_dt",
        seen_before=shown.seen_before.fill_null(False),
    )
    for side in ("user", "pin"):
        shown = _join_features(shown, inputs[f"{side}_features"], side=side)
    return shown.select(*COLUMNS)


def examples_shown(labels: ibis.Table, negatives: ibis.Table) -> ibis.Table:
    """Once every impression that any day T may learn from or is judged on, with `known_dt`."""
    known_on = ibis.greatest(labels.impression_dt, newest_evidence(labels))
    either = ibis.union(
        labels.filter(labels.weight > 0).select(
            "dt", "impression_id", "user_id", "pin_id", known_dt=known_on
        ),
        negatives.select("dt", "impression_id", "user_id", "pin_id", known_dt=_.impression_dt),
    )
    return either.group_by("dt", "impression_id").agg(
        user_id=_.user_id.max(), pin_id=_.pin_id.max(), known_dt=_.known_dt.min()
    )


def newest_evidence(labels: ibis.Table) -> ibis.Value:
    """The arrival day of the newest that a label's evidence rests on."""
    return ibis.coalesce(labels.since_dt, labels.evidence_dt)


def seen_pairs(
    shown: ibis.Table,
    *,
    impressions: ibis.Table,
    engagements: ibis.Table,
    attributed: ibis.Table,
    persons: ibis.Table | None = None,
) -> ibis.Table:
    """The (day D, user, Pin) shown whose user was known to have met the Pin before D.

    That is, in a log before D, of at most `SEEN_DAYS` before, the Pin was shown to the user, acted
    on, bought, or credited with what the user bought: all that a user's recent actions may hold.
    With `persons`, of the days D, under any id of the person.
    """
    pairs = shown.select("dt", "user_id", "pin_id").distinct()
    asked = with_other_ids(pairs, persons, day="dt", own="asked_id")
    met = [
        events.select("user_id", pin_id=events[pin], met_dt=events.dt)
        for events, pin in (
            (impressions, "pin_id"),
            (engagements, "pin_id"),
            (attributed, "pin_id"),
            (attributed, "touch_pin_id"),
        )
    ]
    return (
        asked.inner_join(ibis.union(*met), ["user_id", "pin_id"])
        .filter(_.dt.delta(_.met_dt, unit="day").between(1, SEEN_DAYS))
        .select("dt", "pin_id", user_id=_.asked_id)
        .distinct()
        .mutate(seen_before=ibis.literal(True))
    )


def _join_features(shown: ibis.Table, features: ibis.Table, *, side: str) -> ibis.Table:
    """Join a side's features of the day, each column under the side's prefix."""
    prefix, key = f"{side}_", f"{side}_id"
    named = [c for c in features.columns if f"{prefix}{c}" in FEATURES]
    right = features.select("dt", key, **{f"{prefix}{c}": features[c] for c in named})
    joined = shown.left_join(right, ["dt", key])
    return joined.select(*shown.columns, *(f"{prefix}{c}" for c in named))


EXAMPLE_FEATURES = Table(
    name="example_features",
    group="model",
    owner="team:ads-ml",
    description="""One impression that is an example, with the features of its own day.

Stored once, whatever number of models learns from it.""",
    columns=COLUMNS,
    key=("dt", "impression_id"),
    inputs=inputs,
    # Its own version is the first number; with a feature that is added its columns change too.
    version=1 + (USER_FEATURES.version - 1) + (PIN_FEATURES.version - 1),
    rows=rows,
    cell="known_dt",
    checks=(numbers_are_finite("dt", "impression_id"),),
)
