"""`training_examples`: positives and hard negatives as known on day T, with features of day D.

A view: nothing is stored by T. Which rows they are belongs to `example_rows.py`, their features to
`example_features.py`.
"""

import datetime as dt

import ibis

from convcg_assets.days import Days
from convcg_assets.sources.columns import SURFACES, TASKS, Column, Columns
from convcg_assets.tables.example_checks import CHECKS, SPLITS
from convcg_assets.tables.example_features import EXAMPLE_FEATURES, FEATURES
from convcg_assets.tables.example_rows import EXAMPLE, hard_negatives, positives
from convcg_assets.tables.settings import DelaySettings, ExampleSettings
from convcg_assets.tables.table import (
    ALL_CELLS,
    DAY,
    LONG_AGO,
    Bounds,
    Cells,
    Input,
    Inputs,
    Scope,
    Table,
)
from convcg_assets.tables.touches import MATCH_LEVELS, TOUCH_TYPES
from convcg_assets.tables.user_persons import persons_input, read_persons

COLUMNS: Columns = {
    "dt": Column("date", "day T: everything here arrived before it"),
    "split": Column(
        "string",
        "holdout for the last days before T",
        required=True,
        vocabulary=SPLITS,
    ),
    "example_day": Column("date", "impression day D: features are those of D"),
    "impression_id": Column("id:impression_id", "the impression", required=True),
    "user_id": Column("id:user_id", "who", required=True),
    "pin_id": Column("id:pin_id", "the Pin shown", required=True),
    "advertiser_id": Column("id:advertiser_id", "whose Pin"),
    "impression_ts": Column("timestamp(6)", "when it was shown"),
    "surface": Column("string", "where it was shown", required=True, vocabulary=SURFACES),
    "subject_pin_id": Column("id:pin_id", "Related Pins: the Pin looked at"),
    "query": Column("string", "Search: what was searched for"),
    "task": Column(
        "string",
        "what it is a positive of; null for a hard negative",
        vocabulary=TASKS,
    ),
    "is_negative": Column("boolean", "a hard negative", required=True),
    "touch_type": Column(
        "string",
        "conversion: the strongest type of touch credited",
        vocabulary=TOUCH_TYPES,
    ),
    "match_level": Column(
        "string",
        "conversion: whether its strongest match is of this Pin, or of the advertiser alone",
        vocabulary=MATCH_LEVELS,
        added=True,
    ),
    "match_factor": Column(
        "float64",
        "conversion: what that match weighs, 1 for a Pin match; 1 else",
        required=True,
        added=True,
    ),
    "label_weight": Column(
        "float64",
        "sum of the evidence's weights; 1 for a hard negative",
        required=True,
    ),
    "maturity": Column(
        "float64",
        "conversion: share of the advertiser's conversions of such a day that had arrived; 1 else",
        required=True,
    ),
    "maturity_factor": Column(
        "float64",
        "conversions it stands for: by the maturities of its week, at most w_max; 1 else",
        required=True,
    ),
    "weight": Column("float64", "label_weight * maturity_factor", required=True),
    "evidence_dt": Column("date", "arrival day of the newest evidence"),
    **FEATURES,
}


def inputs(scope: Scope) -> tuple[Input, ...]:
    """Training rests on what arrived before the holdout, the holdout on what arrived before T."""
    settings = scope.settings.examples
    holdout, num_days = settings.holdout_days, settings.training_days + settings.holdout_days

    def known(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds:
        cutoff = day - holdout * DAY
        return LONG_AGO, (cutoff if upstream < cutoff else day) - DAY

    def trained(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds | None:
        cutoff = day - holdout * DAY
        return (LONG_AGO, cutoff - DAY) if upstream < cutoff else None

    def curves(day: dt.date, upstream: dt.date, newest: dt.date) -> Bounds | None:
        used = (day, day - holdout * DAY)
        return ALL_CELLS if upstream in used else None

    def past(table: str, cells: Cells | None = None) -> Input:
        return Input(table, before=num_days, after=-1, cells=cells)

    return (
        past("weighted_labels", known),
        past("hard_negatives", trained),
        past("example_features", known),
        *persons_input(scope, before=holdout, after=-holdout),
        Input("conversion_delay", before=holdout, cells=curves),
    )


def rows(inputs: Inputs) -> ibis.Table:
    """The examples of the days T."""
    return build_examples(
        inputs["weighted_labels"],
        inputs["hard_negatives"],
        inputs["example_features"],
        inputs["conversion_delay"],
        settings=inputs.settings.examples,
        delay=inputs.settings.delay,
        days=inputs.days,
        persons=read_persons(inputs),
    )


def build_examples(
    labels: ibis.Table,
    negatives: ibis.Table,
    features: ibis.Table,
    curves: ibis.Table,
    *,
    settings: ExampleSettings,
    delay: DelaySettings,
    days: Days,
    known_before: dt.date | None = None,
    persons: ibis.Table | None = None,
) -> ibis.Table:
    """Rows of `training_examples` for the days T in `days`.

    Impression days from T - holdout_days on are the holdout. Training takes only what had arrived
    before the holdout began: neither its impressions, nor conversions or engagements that arrived
    during it, so that the model is judged as one of that day. `labels`, `negatives` and `features`
    (`example_features`) must hold the `training_days + holdout_days` before T, and `persons`, where
    there are any, the cutoff.

    A conversion's `weight` is its labels' times the maturity factor by the curve of the day before
    which they are known, the cutoff's in training and T's in the holdout; `maturity_days` share one
    factor. `curves` holds `conversion_delay` of both days.

    With `known_before` the holdout's positives are those known before that day, by its curve: for
    evaluation of one T while labels ripen. The train split is as ever.
    """
    assert known_before is None or len(days) == 1, "labels ripen by the age of one T's holdout"
    rows = positives(
        labels, curves, days, settings=settings, delay=delay, known_before=known_before
    )
    rows = rows.union(hard_negatives(negatives, labels, days, settings=settings, persons=persons))
    known = features.select("impression_id", *FEATURES, example_day=features.dt)
    joined = rows.select(*EXAMPLE).left_join(known, ["example_day", "impression_id"])
    return joined.select(*COLUMNS)


TRAINING_EXAMPLES = Table(
    name="training_examples",
    group="model",
    owner="team:ads-ml",
    description="""One positive or hard negative as known on day T, with the features of its own
day.

The last days before T are the holdout: the model is trained on what had arrived before them. A
view: nothing is stored, and it is as its inputs are whenever it is read.""",
    columns=COLUMNS,
    key=("dt", "example_day", "impression_id", "task"),
    domain="models",
    inputs=inputs,
    settings=lambda scope: (scope.settings.examples, scope.settings.delay),
    # Its own version is the first number; with a feature that is added its columns change too.
    version=4 + EXAMPLE_FEATURES.version - 1,
    rows=rows,
    is_view=True,
    checks=CHECKS,
)
