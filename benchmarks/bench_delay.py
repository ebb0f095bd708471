"""Benchmark: what unripe labels stand for, against what arrives in the end, in simulated worlds.

    python -m benchmarks.bench_delay

On each day T of a week, the weighted conversions of the label days T-7..T-1 that had arrived, over
all that ever arrive. Raw logs go straight through attribution. The last line is one JSON object.
"""

import argparse
import datetime as dt
import json
import time

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from ibis import _
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.lake.engine import connect
from convcg_assets.sources.columns import ID_KINDS
from convcg_assets.tables.attributed_conversions import attribute
from convcg_assets.tables.delay_curves import count_evidence, describe_delay
from convcg_assets.tables.maturity import with_maturity
from convcg_assets.tables.registry import table_schema
from convcg_assets.tables.settings import AttributionSettings, DelaySettings
from convcg_assets.tables.shifts import delay_shifts
from convcg_simulation.arrivals import conversion_log, engagement_log, impression_log
from convcg_simulation.config import WorldConfig
from convcg_simulation.world import World

FIRST_DAY = dt.date(2026, 3, 2)
FIRST_T, NUM_T = 66, 7
"""Number of the first day T, and how many, one of each weekday."""
LABEL_DAYS = 7
MIN_CONVERSIONS = 200
"""Advertisers with so many in the label days are looked at one by one."""
WAITING_DAYS = 7
"""The waiting window takes label days that are so old, and hopes that they are ripe."""
LADDER: dict[str, tuple[dict, dict]] = {
    "unweighted": ({"maturity": "none"}, {}),
    "global curve": ({"maturity": "global"}, {}),
    "advertiser curve": ({}, {}),
    "advertiser curve, no cap": ({"max_maturity_factor": 100}, {}),
    "advertiser curve, mean of 7 days": ({}, {"num_days": 7}),
    "advertiser curve, mean of 7 days, calibrated": ({}, {"num_days": 7, "num_labels": "num"}),
}
"""Name, changed settings, and how the factors of days and advertisers belong together."""


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_delay", description=__doc__)
    parser.add_argument("--impressions-per-day", type=int, default=120_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    started = time.perf_counter()
    weighted, alarms, quiet_days = [], 0, 0
    for seed in options.seeds:
        con = connect(memory_limit="4GB", threads=2)
        attributed = ibis.memtable(
            simulate_attributed(seed, impressions_per_day=options.impressions_per_day, con=con)
        )
        weighted.append(weigh_ladder(attributed, con=con).assign(seed=seed))
        quiet = Days(_day(42), _day(FIRST_T + NUM_T + 27))
        found = delay_shifts(attributed, settings=DelaySettings(), days=quiet)
        alarms += con.to_pyarrow(found.count()).as_py()
        quiet_days += len(quiet)
        con.disconnect()
    table = pd.concat(weighted)
    figures = summarise(table)
    for name, row in figures.items():
        print(f"{name:44}", *(f"{key} {value}" for key, value in row.items()))
    result = {
        "benchmark": "weighted conversions of the newest 7 label days over those that ever arrive",
        "impressions_per_day": options.impressions_per_day,
        "seeds": options.seeds,
        "days": NUM_T,
        "advertiser_days": len(table[table["true"] >= MIN_CONVERSIONS]),
        "shift_alarms": {"days": quiet_days, "alarms": alarms},
        "seconds": round(time.perf_counter() - started, 1),
        "ladder": figures,
    }
    print(json.dumps(result))


def simulate_attributed(seed: int, *, impressions_per_day: int, con: Backend) -> pa.Table:
    """Attribution of the logs of a world, up to the last day on which a label of it may arrive."""
    settings = AttributionSettings()
    id_types: dict[str, str] = dict.fromkeys(ID_KINDS, "int64")
    config = WorldConfig.scaled(
        impressions_per_day=impressions_per_day, seed=seed, first_day=FIRST_DAY, broken_rate=0
    )
    world = World(config)
    num_days = FIRST_T + NUM_T + settings.horizon_days
    logs: dict[str, list[pa.Table]] = {"impressions": [], "engagements": [], "conversions": []}
    for number in range(num_days):
        for stream, read_log in (
            ("impressions", impression_log),
            ("engagements", engagement_log),
            ("conversions", conversion_log),
        ):
            log = read_log(world, number)
            arrival = pa.scalar(config.date_of(number))
            log = log.append_column("dt", pa.repeat(arrival, log.num_rows))
            if stream == "impressions":
                # Attribution asks neither where an impression was nor what was searched for.
                log = log.drop_columns(["surface", "query"])
                day = pc.min_element_wise(log["impression_ts"].cast(pa.date32()), log["dt"])
                log = log.append_column("impression_day", day)
                nothing = pa.nulls(log.num_rows, pa.string())
                log = log.append_column("surface", nothing).append_column("query", nothing)
            schema = table_schema(stream, id_types).to_pyarrow()
            logs[stream].append(log.select(schema.names).cast(schema))
    tables = {stream: ibis.memtable(pa.concat_tables(parts)) for stream, parts in logs.items()}
    attributed = attribute(
        tables["conversions"],
        tables["impressions"],
        tables["engagements"],
        settings=settings,
        days=Days(_day(0), _day(num_days - 1)),
    )
    return con.to_pyarrow(attributed)


def weigh_ladder(attributed: ibis.Table, *, con: Backend) -> pd.DataFrame:
    """One row per day T and advertiser: `true`, the conversions that ever arrive, and by ladder."""
    settings, days = DelaySettings(), Days(_day(FIRST_T), _day(FIRST_T + NUM_T - 1))
    horizon_days = AttributionSettings().horizon_days
    curves = ibis.memtable(
        con.to_pyarrow(
            describe_delay(attributed, settings=settings, horizon_days=horizon_days, days=days)
        )
    )
    label_days = days.lookback("impression_day", num_days=LABEL_DAYS)
    evidence = count_evidence(attributed)
    pairs = evidence.inner_join(label_days, "impression_day").rename(as_of="day")
    key = ["as_of", "advertiser_id"]
    columns = [pairs.group_by(key).agg(true=_.num.sum())]
    known = pairs.filter(pairs.dt < pairs.as_of)
    for name, (changes, together) in LADDER.items():
        weighed = with_maturity(
            known, curves, settings=settings.model_copy(update=changes), **together
        )
        weighed = weighed.mutate(weight=_.num * _.maturity_factor)
        columns.append(weighed.group_by(key).agg(**{name: _.weight.sum()}))
    # The waiting window takes the label days before instead.
    older = days.lookback("impression_day", num_days=WAITING_DAYS + LABEL_DAYS)
    waited = evidence.inner_join(older, "impression_day").rename(as_of="day")
    waited = waited.filter(
        waited.dt < waited.as_of,
        waited.as_of.delta(waited.impression_day, unit="day") > WAITING_DAYS,
    )
    columns.append(waited.group_by(key).agg(**{"waiting window of 7 days": _.num.sum()}))
    frames = [con.to_pyarrow(column).to_pandas().set_index(key) for column in columns]
    joined = pd.concat(frames, axis=1).fillna(0.0).reset_index()
    return joined.assign(**{"all labels": joined["true"]})


def summarise(table: pd.DataFrame) -> dict[str, dict]:
    """Of each rung the ratios to the truth: of a day T overall, and by larger advertiser."""
    names = [
        name for name in table.columns if name not in ("as_of", "advertiser_id", "true", "seed")
    ]
    days = pd.DataFrame(table.drop(columns="advertiser_id").groupby(["seed", "as_of"]).sum())
    large = pd.DataFrame(table[table["true"] >= MIN_CONVERSIONS])
    figures = {}
    for name in names:
        overall, each = _ratios(days, name), _ratios(large, name)
        figures[name] = {
            "mean": round(float(overall.mean()), 3),
            "least": round(float(overall.min()), 3),
            "greatest": round(float(overall.max()), 3),
            "share of days within 0.95..1.05": _share_within(overall, 0.95, 1.05),
            "least advertiser": round(float(each.min()), 3),
            "greatest advertiser": round(float(each.max()), 3),
            "share within 0.85..1.15": _share_within(each, 0.85, 1.15),
        }
    return figures


def _ratios(rows: pd.DataFrame, name: str) -> np.ndarray:
    return np.asarray(rows[name], dtype=float) / np.asarray(rows["true"], dtype=float)


def _share_within(values: np.ndarray, low: float, high: float) -> float:
    return round(float(((values >= low) & (values <= high)).mean()), 2)


def _day(number: int) -> dt.date:
    return FIRST_DAY + dt.timedelta(days=number)


if __name__ == "__main__":
    main()
