"""Credit models: how a conversion's credit is shared among the touches before it.

A model is one function here and its line in `CREDIT_MODELS`. Which touches a conversion may be
credited to belongs to `attributed_conversions.py`.
"""

import math
from collections.abc import Callable

import ibis
from ibis import _

from convcg_assets.tables.exact import SHARE_DECIMALS, double, to_units

END_SHARE, MIDDLE_SHARE = 0.4, 0.2
"""Position based: the first and the last touch get so much each, those between share so much."""
CONVERSION = ["dt", "conversion_id"]
ALL_TOUCHES = ibis.window(group_by=CONVERSION)
IN_TIME = ibis.window(
    group_by=CONVERSION,
    order_by=["touch_ts", "drawing", "impression_id", "strength", "match_rank"],
)
BY_STRENGTH = ibis.window(
    group_by=CONVERSION,
    order_by=["strength", "match_rank", ibis.desc("touch_ts"), "drawing", "impression_id"],
)
CreditModel = Callable[[ibis.Table, float], ibis.Table]
"""Takes touches (`dt`, `conversion_id`, `touch_ts`, `impression_id`, `strength` 0 to 2 for click,
engagement, view, `match_rank` 0 or 1 for Pin, advertiser, `drawing` that orders those of one
moment) and the half-life in hours; gives them with `credit`, which sums to 1 per conversion."""


def last_touch(touches: ibis.Table, half_life_hours: float) -> ibis.Table:
    """All to the first by touch type, match level, latest touch, smallest drawing."""
    is_last = ibis.row_number().over(BY_STRENGTH) == 0
    return touches.mutate(credit=is_last.ifelse(double(1), double(0)))


def first_touch(touches: ibis.Table, half_life_hours: float) -> ibis.Table:
    """All to the earliest touch."""
    is_first = ibis.row_number().over(IN_TIME) == 0
    return touches.mutate(credit=is_first.ifelse(double(1), double(0)))


def linear(touches: ibis.Table, half_life_hours: float) -> ibis.Table:
    """The same to every touch."""
    return touches.mutate(credit=double(1) / touches.count().over(ALL_TOUCHES))


def time_decay(touches: ibis.Table, half_life_hours: float) -> ibis.Table:
    """Half as much for each half-life by which a touch is older than the newest."""
    # Relative to the newest touch: an old touch alone must not underflow to no credit at all.
    aged = touches.mutate(newest_ts=_.touch_ts.max().over(ALL_TOUCHES))
    age_hours = (aged.newest_ts.epoch_seconds() - aged.touch_ts.epoch_seconds()) / double(3600)
    decay = (age_hours * double(-math.log(2) / half_life_hours)).exp()
    decayed = aged.mutate(decay=to_units(decay, decimals=SHARE_DECIMALS))
    return decayed.mutate(credit=decayed.decay / decayed.decay.sum().over(ALL_TOUCHES))


def position_based(touches: ibis.Table, half_life_hours: float) -> ibis.Table:
    """Most to the first and the last touch, the rest to those between."""
    position = ibis.row_number().over(IN_TIME)
    count = touches.count().over(ALL_TOUCHES)
    is_end = (position == 0) | (position == count - 1)
    between = double(MIDDLE_SHARE) / ibis.greatest(count - 2, 1)
    credit = ibis.cases(
        (count == 1, double(1)),
        (count == 2, double(0.5)),
        (is_end, double(END_SHARE)),
        else_=between,
    )
    return touches.mutate(credit=credit)


CREDIT_MODELS: dict[str, CreditModel] = {
    "last_touch": last_touch,
    "first_touch": first_touch,
    "linear": linear,
    "time_decay": time_decay,
    "position_based": position_based,
}
"""The models that `attribution.model` may name."""
