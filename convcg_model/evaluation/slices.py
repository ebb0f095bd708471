"""The slices of an evaluation: which group each query belongs to, per dimension.

A dimension that a log cannot tell (no advertisers, no Pin ages) is absent, not one group "unknown".
"""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.evaluation.scorers import rows_of

NO_CONVERSIONS = "none"

Groups = dict[str, list[str | None]]
"""By dimension, the group of each query; None for a query that belongs to none."""


def slice_queries(
    queries: pa.Table, *, train: pa.Table, not_indexed: np.ndarray, new_pin_days: float
) -> Groups:
    """Groups of the queries (held-out positives) by every dimension that has any.

    `train` holds the train split's rows of `training_examples`, negatives too. `not_indexed` [Q]
    flags the queries whose Pin was not yet in its day's snapshot: a new Pin whatever its age says.
    """
    age = queries["pin_age_days"].to_pylist()
    if any(value is not None for value in age):
        pin_age = [
            "new" if absent or (days is not None and days < new_pin_days) else "older"
            for days, absent in zip(age, not_indexed, strict=True)
        ]
    else:
        pin_age = [None] * len(age)
    trained = rows_of(queries["user_id"], among=train["user_id"].unique()) >= 0
    seen_words = {True: "seen", False: "unseen", None: None}
    groups = {
        "seen before": [seen_words[seen] for seen in queries["seen_before"].to_pylist()],
        "surface": queries["surface"].to_pylist(),
        "touch type": queries["touch_type"].to_pylist(),
        "match level": _match_levels(queries),
        "Pin": pin_age,
        "user": ["known" if known else "new" for known in trained],
        "advertiser decile": _advertiser_deciles(queries, train=train),
    }
    return {name: of for name, of in groups.items() if any(group is not None for group in of)}


def _match_levels(queries: pa.Table) -> list[str | None]:
    """Whether a conversion is credited to its Pin by `pin` or by `advertiser`, if that is known."""
    if "match_level" not in queries.column_names:
        return [None] * queries.num_rows
    return queries["match_level"].to_pylist()


def _advertiser_deciles(queries: pa.Table, *, train: pa.Table) -> list[str | None]:
    """Tenth of its Pin's advertiser, 1 (fewest) to 10 (most), by conversions in training.

    The advertisers with any are ordered by their number of conversion positives (then by id) and
    cut into tenths of equally many advertisers; the others are the group `none`. Where nobody had
    any there are no groups.
    """
    converted = train.filter((pc.field("task") == "conversion") & ~pc.field("is_negative"))
    volume = Counter(converted["advertiser_id"].drop_null().to_pylist())
    if not volume:
        return [None] * queries.num_rows
    order = sorted(volume, key=lambda advertiser: (volume[advertiser], advertiser))
    decile = {advertiser: str(1 + 10 * i // len(order)) for i, advertiser in enumerate(order)}
    return [
        None if advertiser is None else decile.get(advertiser, NO_CONVERSIONS)
        for advertiser in queries["advertiser_id"].to_pylist()
    ]


def sort_key(group: str) -> tuple[int, str]:
    """Order of the groups of a dimension: numbers as numbers, then words."""
    return (int(group), "") if group.isdigit() else (99, group)
