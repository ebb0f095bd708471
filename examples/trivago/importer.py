"""Lands the action log of a hotel search, in the layout of trivago's public `train.csv`.

    python examples/trivago/importer.py events.parquet --into examples/trivago/landing

A `clickout item` row holds a result list: each listed item is a Search impression, its query the
city. Touching a listed item in the same session is an engagement with that impression; the
click-out is a click and the conversion.
"""

import argparse
from pathlib import Path

import duckdb

from convcg_assets.days import Days
from convcg_assets.sources.split import write_days

_TOUCHES = (
    "interaction item image",
    "interaction item info",
    "interaction item rating",
    "interaction item deals",
    "search for item",
)
# A step that occurs twice in a session is logged twice: the first is taken.
_ACTIONS = """
CREATE TEMP TABLE actions AS
SELECT DISTINCT ON (session_id, step) session_id, step, user_id, action_type, city,
  reference AS item, platform, make_timestamp(timestamp * 1000000) AS ts, impressions, prices
FROM log ORDER BY session_id, step, timestamp, action_type, reference
"""
_LISTED = """
CREATE TEMP TABLE listed AS
SELECT * EXCLUDE (place), place - 1 AS position,
  concat_ws(':', session_id, step, place - 1) AS impression_id
FROM (SELECT session_id, step, user_id, city, ts,
    unnest(string_split(impressions, '|')) AS item,
    TRY_CAST(unnest(string_split(prices, '|')) AS DOUBLE) AS price,
    unnest(range(1, len(string_split(impressions, '|')) + 1)) AS place
  FROM actions WHERE action_type = 'clickout item' AND impressions IS NOT NULL)
"""
# A list is logged when it is left by a click-out, so what was touched just before it lay in it:
# first choice is the next list of the session that holds the item, then the newest one before.
_TOUCHED = f"""
CREATE TEMP TABLE touched AS
SELECT a.session_id, a.step, a.user_id, a.item, a.ts, a.action_type, l.impression_id
FROM actions a LEFT JOIN listed l ON l.session_id = a.session_id AND l.item = a.item
WHERE a.action_type IN {_TOUCHES} AND regexp_full_match(a.item, '[0-9]+')
QUALIFY row_number() OVER (PARTITION BY a.session_id, a.step
  ORDER BY l.step >= a.step DESC NULLS LAST, abs(l.step - a.step), l.position) = 1
"""
_STREAMS = {
    "impressions": """
SELECT CAST(l.ts AS DATE) AS dt, l.impression_id, l.user_id, l.item AS pin_id,
  least(l.ts, min(t.ts) OVER (PARTITION BY l.session_id, l.step)) AS impression_ts,
  'search' AS surface, l.city AS query, l.position
FROM listed l LEFT JOIN (SELECT impression_id, min(ts) AS ts FROM touched GROUP BY 1) t
  ON t.impression_id = l.impression_id
ORDER BY l.ts, l.impression_id""",
    "engagements": """
SELECT CAST(ts AS DATE) AS dt, concat_ws(':', session_id, step) AS engagement_id, impression_id,
  user_id, item AS pin_id, ts AS engagement_ts, 'close_up' AS engagement_type
FROM touched
QUALIFY row_number() OVER (
  PARTITION BY session_id, item, impression_id, action_type ORDER BY step) = 1
UNION ALL
SELECT CAST(a.ts AS DATE), concat_ws(':', a.session_id, a.step), min(l.impression_id), a.user_id,
  a.item, a.ts, 'click'
FROM actions a LEFT JOIN listed l
  ON l.session_id = a.session_id AND l.step = a.step AND l.item = a.item
WHERE a.action_type = 'clickout item' AND regexp_full_match(a.item, '[0-9]+')
GROUP BY a.session_id, a.step, a.user_id, a.item, a.ts
ORDER BY engagement_ts, engagement_id""",
    "conversions": """
SELECT CAST(ts AS DATE) AS dt, concat_ws(':', session_id, step) AS conversion_id, user_id,
  item AS pin_id, 'checkout' AS event_name, ts AS event_ts
FROM actions WHERE action_type = 'clickout item' AND regexp_full_match(item, '[0-9]+')
ORDER BY event_ts, conversion_id""",
    "pins": """
SELECT CAST(ts AS DATE) AS dt, item AS pin_id, mode(city ORDER BY city) AS category,
  median(price) AS price
FROM listed GROUP BY 1, 2 ORDER BY 1, 2""",
    "users": """
SELECT CAST(ts AS DATE) AS dt, user_id, arg_min(platform, (ts, session_id, step)) AS country
FROM actions GROUP BY 1, 2 ORDER BY 1, 2""",
}


def land(log: Path, *, into: Path) -> dict[str, int]:
    """Write the five streams below `into`; rows per stream. A day without rows gets a marker."""
    with duckdb.connect() as con:
        reader = "read_parquet(?)" if log.suffix == ".parquet" else "read_csv(?, header = true)"
        con.execute(f"CREATE TEMP TABLE log AS FROM {reader}", [str(log)])
        for statement in (_ACTIONS, _LISTED, _TOUCHED):
            con.execute(statement)
        first, last = con.execute(
            "SELECT CAST(min(ts) AS DATE), CAST(max(ts) AS DATE) FROM actions"
        ).fetchall()[0]
        days = list(Days(first, last))
        return {
            name: write_days(con, sql, folder=into / name, days=days)
            for name, sql in _STREAMS.items()
        }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path, help="events.parquet, or train.csv")
    parser.add_argument("--into", type=Path, required=True, help="the landing folder")
    given = parser.parse_args()
    for stream, rows in land(given.log, into=given.into).items():
        print(f"{stream}: {rows:,} rows")


if __name__ == "__main__":
    main()
