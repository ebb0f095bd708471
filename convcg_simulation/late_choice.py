"""Which clicks a late batch follows: of one advertiser, on so many label days, by a generator."""

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_simulation.late_clicks import LOOKBACK_DAYS

DEFAULT_PER_LABEL_DAY = 4
MAX_ROWS = 1_000
"""Conversions per late file."""


def most_clicked_advertiser(clicks: pa.Table) -> int:
    """The advertiser with the most clicks to choose from; of equals, the one with the least id."""
    ids, counts = np.unique(clicks["advertiser_id"].to_numpy(), return_counts=True)
    if not len(ids):
        raise ValueError(
            f"no click of the {LOOKBACK_DAYS} days before can be bought after: land more days, "
            "or choose a later arrival day"
        )
    return int(ids[np.argmax(counts)])


def choose_clicks(
    clicks: pa.Table,
    *,
    advertiser_id: int,
    num_label_days: int,
    num_conversions: int | None,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Clicks of one advertiser on exactly so many label days, spread over those with enough clicks.

    `clicks` is what `find_late_clicks` returns. Without a number of conversions it is
    `DEFAULT_PER_LABEL_DAY` per label day, or as many as there are clicks. ValueError where the
    clicks do not suffice.
    """
    if num_label_days < 1:
        raise ValueError(f"{num_label_days} label days cannot gain: ask for at least 1")
    by_date: dict[date, list[dict[str, Any]]] = {}
    own = clicks.filter(pc.equal(clicks["advertiser_id"], advertiser_id))
    for click in own.to_pylist():
        by_date.setdefault(click["label_date"], []).append(click)
    sizes = sorted((len(of_day) for of_day in by_date.values()), reverse=True)
    if len(sizes) < num_label_days:
        raise ValueError(
            f"{len(sizes)} of the {LOOKBACK_DAYS} days before have clicks on Pins of advertiser "
            f"{advertiser_id} that can be bought after, not {num_label_days}: ask for fewer label "
            "days, or choose an advertiser with more clicks or a later arrival day"
        )
    most = min(sizes[num_label_days - 1], MAX_ROWS // num_label_days)
    if num_conversions is None:
        num_conversions = num_label_days * min(DEFAULT_PER_LABEL_DAY, most)
    if not num_label_days <= num_conversions <= num_label_days * most:
        raise ValueError(
            f"{num_conversions} conversions cannot be spread over {num_label_days} label days of "
            f"advertiser {advertiser_id}: from {num_label_days} to {num_label_days * most} can"
        )
    each, more = divmod(num_conversions, num_label_days)
    counts = [each + (i < more) for i in range(num_label_days)]
    dates = [d for d, of_day in sorted(by_date.items()) if len(of_day) >= max(counts)]
    # One date out of each of so many equal stretches of time.
    stretches = np.array_split(np.arange(len(dates)), num_label_days)
    chosen_dates = [dates[rng.choice(stretch)] for stretch in stretches]
    return [
        by_date[label_date][i]
        for label_date, count in zip(chosen_dates, counts, strict=True)
        for i in sorted(rng.choice(len(by_date[label_date]), count, replace=False).tolist())
    ]
