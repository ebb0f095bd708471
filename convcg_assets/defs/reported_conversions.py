"""What the evaluation report says became of the conversions that a model rests on."""

import datetime as dt
from typing import Any

from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.defs.resources import Warehouse
from convcg_assets.tables.conversion_outcomes import (
    conversion_outcomes,
    matches_in_words,
    outcome_name,
    outlying_in_words,
    outlying_outcomes,
)

MAX_NOTES = 3
"""So many sentences on shares that are larger than expected."""


def reported_conversions(day: dt.date, warehouse: Warehouse, *, con: Backend) -> dict[str, Any]:
    """Fields of the report's context: outcomes of what arrived in the days before T, and notes."""
    from convcg_model.evaluation.report.render import ConversionOutcome

    examples, checks = warehouse.settings.examples, warehouse.settings.checks
    arrived = Days(day, day).widen(before=examples.training_days + examples.holdout_days, after=-1)
    attributed = warehouse.read("attributed_conversions", arrived, con=con)
    outcomes = con.to_pyarrow(conversion_outcomes(attributed)).to_pylist()
    outlying = con.to_pyarrow(outlying_outcomes(attributed, settings=checks)).to_pylist()
    notes = [outlying_in_words(row) for row in outlying[:MAX_NOTES]]
    return {
        "outcomes": tuple(
            ConversionOutcome(
                name=outcome_name(row), conversions=row["conversions"], share=row["share"]
            )
            for row in outcomes
        ),
        "outcome_days": f"{arrived.first} to {arrived.last}",
        "notes": (*notes, *matches_in_words(outcomes)),
    }
