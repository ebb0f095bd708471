"""What tables must agree on: which asset each check hangs on, what it reads, how severe it is.

Which rows break it is computed in `transforms/consistency.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import ibis
from ibis.backends.duckdb import Backend

from convcg_assets.builds.suites import id_columns
from convcg_assets.days import Days
from convcg_assets.defs.partitions import windows
from convcg_assets.defs.resources import Warehouse
from convcg_assets.sources.stream import STREAMS
from convcg_assets.tables import consistency
from convcg_assets.tables.settings import DelaySettings
from convcg_assets.tables.shifts import delay_shifts, shift_lookback_days

REJECTED_SHARE_WARNING, REJECTED_SHARE_ERROR = 0.01, 0.20
"""Of a stream's day: what is worth a look, and what is no longer that stream."""
REJECTED_ROWS_WARNING, REJECTED_ROWS_ERROR = 10, 100
"""Of fewer rejected rows a share says little."""


@dataclass(frozen=True)
class Tables:
    """The tables of the lake around the run's days, as the check of one asset reads them."""

    warehouse: Warehouse
    asset: str
    days: Days
    con: Backend

    @property
    def own(self) -> ibis.Table:
        """The checked asset's rows."""
        return self.read(self.asset)

    @property
    def tolerance(self) -> int:
        """How far clocks may be off, in minutes."""
        return self.warehouse.source.tolerance_minutes

    @property
    def delay(self) -> DelaySettings:
        """How delays are estimated."""
        return self.warehouse.settings.delay

    def read(self, table: str, *, after: int = 0) -> ibis.Table:
        """The rows of the run's days and of so many after."""
        return self.warehouse.read(table, self.days.widen(after=after), con=self.con)


Offending = Callable[[Tables], ibis.Table]


@dataclass(frozen=True)
class CrossCheck:
    """Rows that break what tables agree on: those of `error` stop downstream."""

    name: str
    asset: str
    description: str
    error: Offending | None = None
    warning: Offending | None = None


def _rejected(stream: str, *, above: float, min_rejected: int) -> Offending:
    return lambda t: consistency.rejected_shares(
        t.own, t.read("rejected_events"), stream=stream, above=above, min_rejected=min_rejected
    )


CROSS_CHECKS = [
    *(
        CrossCheck(
            "few_rejected_rows",
            stream,
            f"Of a day's rows at most {REJECTED_SHARE_WARNING:.0%} break the contract; "
            f"more than {REJECTED_SHARE_ERROR:.0%} stop the run: the log has changed.",
            error=_rejected(stream, above=REJECTED_SHARE_ERROR, min_rejected=REJECTED_ROWS_ERROR),
            warning=_rejected(
                stream, above=REJECTED_SHARE_WARNING, min_rejected=REJECTED_ROWS_WARNING
            ),
        )
        for stream in STREAMS
    ),
    CrossCheck(
        "content_of_one_length",
        "pins",
        "The content vectors of a snapshot have one length.",
        error=lambda t: consistency.uneven_content(t.own),
    ),
    CrossCheck(
        "credits_sum_to_1",
        "attributed_conversions",
        "The credits of an attributed conversion sum to 1.",
        error=lambda t: consistency.uneven_credits(t.own),
    ),
    CrossCheck(
        "touches_in_window",
        "attributed_conversions",
        "touch_ts <= event_ts < touch_ts + window of the touch's type.",
        error=lambda t: consistency.touches_outside_window(
            t.own, settings=t.warehouse.settings.attribution
        ),
    ),
    CrossCheck(
        "delays_as_before",
        "conversion_delay",
        "No advertiser's reporting lags of the newest week differ from those of the weeks before: "
        "one that starts uploading weekly makes its labels look rare.",
        warning=lambda t: delay_shifts(
            t.warehouse.read(
                "attributed_conversions",
                Days(t.days.last - timedelta(days=shift_lookback_days(t.delay)), t.days.last),
                con=t.con,
            ),
            settings=t.delay,
            days=Days(t.days.last, t.days.last),
        ),
    ),
    CrossCheck(
        "impressions_exist",
        "weighted_labels",
        "Every label's impression is in `impressions`.",
        error=lambda t: consistency.labels_without_impression(
            t.own, t.read("impressions", after=windows.late)
        ),
    ),
    CrossCheck(
        "no_label_from_the_future",
        "weighted_labels",
        "No label was known before it could be (error); none precedes its impression by more than "
        "clocks may be off (warning).",
        error=lambda t: consistency.labels_from_future(t.own, tolerance_minutes=t.tolerance),
        warning=lambda t: consistency.labels_before_impression(
            t.own, tolerance_minutes=t.tolerance
        ),
    ),
    CrossCheck(
        "conversions_counted_once",
        "weighted_labels",
        "The labels of a conversion hold at most its whole credit.",
        error=lambda t: consistency.overcredited_conversions(t.own),
    ),
    CrossCheck(
        "credit_as_attributed",
        "weighted_labels",
        "A conversion label's credit is what attribution gave its impression.",
        error=lambda t: consistency.labels_unlike_attribution(
            t.own, t.read("attributed_conversions", after=windows.horizon)
        ),
    ),
    CrossCheck(
        "weight_is_product_of_factors",
        "weighted_labels",
        "A label's weight is the product of its factors.",
        error=lambda t: consistency.weights_not_product(t.own),
    ),
    CrossCheck(
        "not_engaged",
        "hard_negatives",
        "Nothing had engaged with a hard negative by the end of the day on which it arrived.",
        error=lambda t: consistency.engaged_negatives(
            t.own, t.read("engagements", after=windows.late)
        ),
    ),
    CrossCheck(
        "histories_of_the_past",
        "user_features",
        "The lists of a user's actions have one length and hold nothing of the future.",
        error=lambda t: consistency.broken_histories(t.own, tolerance_minutes=t.tolerance),
    ),
    CrossCheck(
        "no_negative_is_positive",
        "training_examples",
        "No hard negative's user and Pin are a positive of the same training set.",
        error=lambda t: consistency.false_negatives(t.own),
    ),
    CrossCheck(
        "splits_in_their_time",
        "training_examples",
        "Training knows nothing of the holdout's days, the holdout nothing of T.",
        error=lambda t: consistency.examples_from_future(
            t.own, settings=t.warehouse.settings.examples
        ),
    ),
    *(
        CrossCheck(
            "numbers_are_finite",
            table,
            "No number is NaN or infinite.",
            error=lambda t: consistency.not_finite(t.own, ids=tuple(id_columns(t.asset))),
        )
        for table in ("weighted_labels", "user_features", "pin_features", "training_examples")
    ),
]
