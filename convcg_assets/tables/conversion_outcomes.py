"""What became of the conversions, as shares: credited to which touches, or why to none.

A wrong mapping of ids loses no row, it only finds no touch: these shares are where it shows. How
conversions are attributed belongs to `attributed_conversions.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
from ibis import _

from convcg_assets.tables.settings import CheckSettings
from convcg_assets.tables.touches import MATCH_LEVELS

FEW = 20
"""Of fewer conversions no share says anything."""
STANDARD_ERRORS = 2
"""By so many the share of a single day has to be above the limit."""


def conversion_outcomes(attributed: ibis.Table) -> ibis.Table:
    """By status, touch type and match level the number of `conversions`, and their `share` of all.

    A conversion with several touches counts with the credit of each. Most first.
    """
    counts = attributed.group_by("status", "touch_type", "match_level").agg(
        conversions=_.credit.fill_null(1).sum()
    )
    shares = counts.mutate(share=_.conversions / _.conversions.sum().over(ibis.window()))
    return shares.order_by(ibis.desc("conversions"), "status", "touch_type", "match_level")


def outcomes_in_words(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `conversion_outcomes` as one line for people.

    >>> touched = {"status": "attributed", "touch_type": "click", "match_level": "pin"}
    >>> untouched = {"status": "no_touch", "touch_type": None, "match_level": None}
    >>> outcomes_in_words([touched | {"conversions": 3.0, "share": 0.75},
    ...     untouched | {"conversions": 1.0, "share": 0.25}])
    'of 4 conversions: 75.0% click on the Pin, 25.0% no touch'
    """
    total = sum(row["conversions"] for row in outcomes)
    parts = [f"{row['share']:.1%} {outcome_name(row)}" for row in outcomes]
    return f"of {total:,.0f} conversions: {', '.join(parts)}" if parts else "no conversions"


def outcome_name(outcome: Mapping[str, Any]) -> str:
    """A row of `conversion_outcomes` in words.

    >>> outcome_name({"status": "attributed", "touch_type": "view", "match_level": "advertiser"})
    'view of its advertiser'
    """
    if outcome["status"] != "attributed":
        return outcome["status"].replace("_", " ")
    where = {"pin": "the Pin", "advertiser": "its advertiser"}[outcome["match_level"]]
    did = {"view": "view of"}.get(outcome["touch_type"], f"{outcome['touch_type']} on")
    return f"{did} {where}"


def matches_in_words(outcomes: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence where most conversions are credited by their advertiser alone; else nothing.

    >>> by_pin = {"match_level": "pin", "conversions": 1.0}
    >>> matches_in_words([by_pin, {"match_level": "advertiser", "conversions": 1.0}])
    []
    >>> matches_in_words([by_pin, {"match_level": "advertiser", "conversions": 3.0}])[0][:60]
    '75% of the attributed conversions are matched by their adver'
    """
    by_level = dict.fromkeys(MATCH_LEVELS, 0.0)
    for row in outcomes:
        if row["match_level"] is not None:
            by_level[row["match_level"]] += row["conversions"]
    total = sum(by_level.values())
    if not total or by_level["advertiser"] <= total / 2:
        return []
    return [
        f"{by_level['advertiser'] / total:.0%} of the attributed conversions are matched by their "
        "advertiser alone: they say whose Pin was bought, not which. They weigh as little here as "
        "in training; the slices by match level tell them apart."
    ]


def outlying_in_words(outlying: Mapping[str, Any]) -> str:
    """A row of `outlying_outcomes` as a sentence."""
    of, does = {
        "no touch": ("conversions that name a user", "found no touch"),
        "no user": ("conversions", "name no user"),
        "duplicate": ("reports", "repeat another"),
    }[outlying["found"]]
    first, last = outlying["first_dt"], outlying["last_dt"]
    when = f"on {first}" if first == last else f"from {first} to {last}"
    return (
        f"{outlying['share']:.0%} of the {outlying['of']:,} {of} {when} {does}; at most "
        f"{outlying['at_most']:.0%} are expected. Ids that are mapped differently look like this."
    )


def outlying_outcomes(attributed: ibis.Table, *, settings: CheckSettings) -> ibis.Table:
    """What became of more conversions than is expected: of all days together, or else of which day.

    Rows are `found` (what), `first_dt` and `last_dt`, `conversions` of which that is so, `of` how
    many, their `share`, and `at_most`, the share that the settings allow. Each is a share of those
    to whom it can happen: no touch of the conversions that name a user and are no duplicates, no
    user of those that are no duplicates. Of fewer than `FEW` nothing is said, and of single days
    only where the share is `STANDARD_ERRORS` above the limit: days differ by chance.
    """
    each = attributed.select("dt", "conversion_id", "status").distinct()
    together = _above(
        each.mutate(first_dt=each.dt.min().over(), last_dt=each.dt.max().over()),
        settings=settings,
        standard_errors=0,
    )
    by_day = _above(
        each.mutate(first_dt=each.dt, last_dt=each.dt),
        settings=settings,
        standard_errors=STANDARD_ERRORS,
    )
    return together.union(by_day.anti_join(together, "found"))


def _above(conversions: ibis.Table, *, settings: CheckSettings, standard_errors: int) -> ibis.Table:
    """Per `first_dt` and `last_dt` the shares above their limit by so many standard errors."""
    is_first, is_named = _.status != "duplicate", ~_.status.isin(("duplicate", "no_user"))
    every = ibis.literal(True)
    limits = (
        ("no touch", ("no_touch", "past_horizon"), is_named, settings.max_no_touch_share),
        ("no user", ("no_user",), is_first, settings.max_no_user_share),
        ("duplicate", ("duplicate",), every, settings.max_duplicate_share),
    )
    shares = (
        conversions.filter(can_happen)
        .group_by("first_dt", "last_dt")
        .agg(conversions=_.status.isin(statuses).sum(), of=_.count())
        .mutate(
            found=ibis.literal(found),
            share=_.conversions / _.of,
            at_most=ibis.literal(at_most, "float64"),
        )
        for found, statuses, can_happen, at_most in limits
    )
    error = (_.at_most * (1 - _.at_most) / _.of).sqrt()
    return (
        ibis.union(*shares)
        .filter(_.of >= FEW, _.share > _.at_most + standard_errors * error)
        .select("found", "first_dt", "last_dt", "conversions", "of", "share", "at_most")
    )
