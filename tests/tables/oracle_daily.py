"""Daily counts and actions by brute force: every event on the first day on which it arrived."""

from collections import defaultdict

from .oracle_attribution import first_deliveries
from .world import Row, World


def counts(world: World, *, of: str) -> list[Row]:
    """Rows of `daily_user_counts` (`of="user"`) or `daily_pin_counts` of all days."""
    key = f"{of}_id"
    found: dict[tuple, Row] = {}

    def of_row(row: Row) -> Row:
        empty = dict.fromkeys(("num_impressions", "num_clicks", "num_repins", "num_durations"), 0)
        place = (row["dt"], row[key])
        return found.setdefault(place, {"dt": row["dt"], key: row[key], **empty, "duration_s": 0.0})

    for row in first_deliveries(world.impressions, key="impression_id"):
        of_row(row)["num_impressions"] += 1
    for row in first_deliveries(world.engagements, key="engagement_id"):
        if row["engagement_type"] != "click":
            of_row(row)["num_repins"] += 1
            continue
        of_row(row)["num_clicks"] += 1
        if row["duration_s"] is not None:
            of_row(row)["num_durations"] += 1
            of_row(row)["duration_s"] += row["duration_s"]
    return list(found.values())


def actions(world: World, *, most: int) -> list[Row]:
    """Rows of `daily_actions` of all days, at most `most` of a user and day."""
    by_user = defaultdict(list)
    for row in first_deliveries(world.engagements, key="engagement_id"):
        by_user[row["dt"], row["user_id"]].append(row)
    rows = []
    for (day, user), done in by_user.items():
        done.sort(key=lambda row: (row["pin_id"], row["engagement_type"]))
        done.sort(key=lambda row: row["engagement_ts"], reverse=True)
        for rank, row in enumerate(done[:most]):
            acted = {"pin_id": row["pin_id"], "action": row["engagement_type"]}
            acted["action_ts"] = row["engagement_ts"]
            rows.append({"dt": day, "user_id": user, "rank": rank, **acted})
    return rows
