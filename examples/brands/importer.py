"""Lands the action log of a marketplace's brands as daily engagements and conversions.

    python examples/brands/importer.py events.csv.gz --into examples/brands/landing

A brand is the Pin. A click or a favourite is an engagement, the impression of which is implied; an
add-to-cart or a purchase is a conversion. The log tells the day alone, so that everything happens
at midnight.
"""

import argparse
from pathlib import Path

import duckdb

from convcg_assets.days import Days
from convcg_assets.sources.split import write_days

_STREAMS = {
    "engagements": """
SELECT CAST(date AS DATE) AS dt, event_id AS engagement_id, user_id, brand_id AS pin_id,
  CAST(date AS TIMESTAMP) AS engagement_ts,
  CASE event WHEN 'click' THEN 'click' ELSE 'repin' END AS engagement_type
FROM events WHERE event IN ('click', 'fav') ORDER BY date, event_id""",
    "conversions": """
SELECT CAST(date AS DATE) AS dt, event_id AS conversion_id, user_id, brand_id AS pin_id,
  CAST(date AS TIMESTAMP) AS event_ts,
  CASE event WHEN 'buy' THEN 'checkout' ELSE 'add_to_cart' END AS event_name
FROM events WHERE event IN ('cart', 'buy') ORDER BY date, event_id""",
}


def land(log: Path, *, into: Path) -> dict[str, int]:
    """Write both streams below `into`; rows per stream. A day without rows gets a marker."""
    with duckdb.connect() as con:
        con.execute(
            """CREATE TEMP TABLE events AS FROM read_csv(?, header = true, columns = {
            event_id: 'BIGINT', user_id: 'BIGINT', brand_id: 'BIGINT', event: 'VARCHAR',
            date: 'DATE'})""",
            [str(log)],
        )
        first, last = con.execute("SELECT min(date), max(date) FROM events").fetchall()[0]
        days = list(Days(first, last))
        return {
            name: write_days(con, sql, folder=into / name, days=days)
            for name, sql in _STREAMS.items()
        }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", type=Path, help="events.csv, or events.csv.gz")
    parser.add_argument("--into", type=Path, required=True, help="the landing folder")
    given = parser.parse_args()
    for stream, rows in land(given.events, into=given.into).items():
        print(f"{stream}: {rows:,} rows")


if __name__ == "__main__":
    main()
