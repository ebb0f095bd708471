"""Streams that a log lacks, from those that it has. Logged rows belong to `contract.py`."""

from collections.abc import Mapping

import ibis
from ibis import _

from convcg_assets.sources.casting import Expr
from convcg_assets.sources.columns import STREAMS, type_schema


def implied_impressions(
    engagements: ibis.Table, *, surface: str, id_types: Mapping[str, str]
) -> ibis.Table:
    """One impression per engagement, under its id: what was acted on was evidently shown."""
    return _conform(
        engagements.mutate(
            impression_id=_.engagement_id,
            impression_ts=_.engagement_ts,
            impression_day=ibis.least(_.engagement_ts.date(), _.dt),
            surface=ibis.literal(surface),
        ),
        "impressions",
        id_types,
    )


def implied_pins(*events: ibis.Table, id_types: Mapping[str, str]) -> ibis.Table:
    """The Pins of each day's events, with the greatest advertiser id named beside each."""
    kind = type_schema(STREAMS["pins"].columns, id_types)["advertiser_id"]
    seen = [
        e.select(
            "dt",
            "pin_id",
            advertiser_id=_.advertiser_id.cast(kind)
            if "advertiser_id" in e.columns
            else ibis.null(kind),
        )
        for e in events
    ]
    rows = ibis.union(*seen).filter(_.pin_id.notnull()) if len(seen) > 1 else seen[0]
    return _conform(
        rows.group_by("dt", "pin_id").agg(advertiser_id=_.advertiser_id.max()), "pins", id_types
    )


def implied_users(*events: ibis.Table, id_types: Mapping[str, str]) -> ibis.Table:
    """The users seen in each day's events; no attributes."""
    seen = [e.select("dt", "user_id") for e in events]
    rows = ibis.union(*seen) if len(seen) > 1 else seen[0]
    return _conform(rows.filter(_.user_id.notnull()).distinct(), "users", id_types)


def _conform(rows: Expr, table: str, id_types: Mapping[str, str]) -> ibis.Table:
    """Exactly the table's columns; those that are not there are null."""
    return rows.select(
        (rows[name].cast(kind) if name in rows.columns else ibis.null(kind)).name(name)
        for name, kind in type_schema(STREAMS[table].columns, id_types).items()
    )


def name_advertisers(events: ibis.Table, pins: ibis.Table) -> ibis.Table:
    """Events with the advertiser of their Pin in the day's catalogue where the log was silent."""
    catalogue = pins.select("dt", "pin_id", catalogue_advertiser_id=_.advertiser_id)
    return (
        events.left_join(catalogue, ["dt", "pin_id"])
        .mutate(advertiser_id=ibis.coalesce(_.advertiser_id, _.catalogue_advertiser_id))
        .select(events.columns)
    )
