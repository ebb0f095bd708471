"""People with several ids by brute force: from an id to whoever was merged with it, and on."""

import datetime as dt
from collections.abc import Callable

from convcg_assets.days import Days

from .world import Row

IdsOf = Callable[[object, dt.date], set]
"""All ids of a user's person, his own among them, as known before a day."""


def alone(user: object, day: dt.date) -> set:
    """Nobody has a second id."""
    return {user}


def ids_of(merges: list[Row]) -> IdsOf:
    """The ids that merges join."""

    def walk(user: object, day: dt.date) -> set:
        found, next_ones = {user}, [user]
        while next_ones:
            here = next_ones.pop()
            for row in merges:
                ends = {row["from_user_id"], row["to_user_id"]}
                if row["dt"] < day and here in ends:
                    next_ones += ends - found
                    found |= ends
        return found

    return walk


def persons(merges: list[Row], days: Days) -> list[Row]:
    """Rows of `user_persons` of those days."""
    walk = ids_of(merges)
    named = {row[end] for row in merges for end in ("from_user_id", "to_user_id")}
    return [
        {"dt": day, "user_id": user, "person_id": min(walk(user, day))}
        for day in days
        for user in named
        if len(walk(user, day)) > 1
    ]
