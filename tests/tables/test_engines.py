"""Every transform gives the same rows on DuckDB and on Spark, to the last digit of every float."""

import gc
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis.backends import BaseBackend
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.tables.registry import table_schema
from convcg_assets.tables.settings import (
    AttributionSettings,
    DelaySettings,
    ExampleSettings,
    FeatureSettings,
    LabelSettings,
    NegativeSettings,
)

from . import stages
from .adjustment_rows import REACH, adjustments_of
from .tables import INT_IDS, exactly, to_arrow, to_rows, to_table
from .world import Row, World, day, random_world

DAYS = Days(day(0), day(4))
ADJUSTED = Days(day(-5), day(40))
HORIZON_DAYS = AttributionSettings().horizon_days


def small_world() -> World:
    """The densest of some small worlds."""
    return max(
        (random_world(Random(seed), size=60) for seed in range(8)),
        key=lambda world: len([row for row in world.conversions if row["dt"] <= DAYS.last]),
    )


class Engine:
    """One engine: rows in, rows out, in the columns and types of the table."""

    def __init__(self, con: Any, folder: Path) -> None:
        self.con, self.folder, self.num_tables = con, folder, 0

    def read(self, name: str, rows: list[Row]) -> ibis.Table:
        if isinstance(self.con, Backend):
            return to_table(rows, table=name)
        self.num_tables += 1
        path = self.folder / f"{name}_{self.num_tables}.parquet"
        pq.write_table(to_arrow(rows, table=name), path)
        return self.con.read_parquet(str(path))

    def rows(self, expr: Any, *, table: str) -> list[Row]:
        if isinstance(self.con, Backend):
            return to_rows(expr, table=table, con=self.con)
        schema = table_schema(table, INT_IDS)
        typed = expr.select(expr[name].cast(kind).name(name) for name, kind in schema.items())
        # Spark's own timestamps have a zone, ours are UTC without one.
        arrow: pa.Table = self.con.to_pyarrow(typed)
        return arrow.cast(schema.to_pyarrow()).to_pylist()


def build_all(engine: Engine) -> dict[str, list[Row]]:
    """Every stage's rows, each stage built from the rows of the stages before."""
    world, out = small_world(), {}

    def put(name: str, case: stages.Case) -> list[Row]:
        out[name] = engine.rows(case.rows(engine.read), table=case.table)
        return out[name]

    for model in ("first_touch", "linear", "time_decay", "position_based", "last_touch"):
        settings = AttributionSettings.model_validate({"model": model, "view_window_days": 7})
        put(model, stages.attributed(world, settings=settings, days=DAYS))
    credited = out["attributed_conversions"] = out["time_decay"]
    adjustments = adjustments_of(world, Random(3))
    became = put(
        "adjusted", stages.adjusted(adjustments, world, credited, max_days=REACH, days=ADJUSTED)
    )
    delay = DelaySettings(min_weekly=2, maturity_days=2)
    horizon = {"horizon_days": HORIZON_DAYS, "settings": delay}
    case = stages.delay(credited, **horizon, days=DAYS)
    put("adjusted curves", stages.with_adjusted(case, became, max_days=REACH))
    put("conversion_delay", stages.delay(credited, **horizon, days=DAYS.widen(before=1)))
    curves = out["conversion_delay"]
    put("label_maturity", stages.maturity(credited, curves, **horizon, days=DAYS))
    put("linked_engagements", stages.linked(world, days=DAYS))
    for formula in ("log2_share", "log_ratio"):
        settings = LabelSettings.model_validate({"click_formula": formula})
        given = {"settings": settings, "horizon_days": HORIZON_DAYS, "days": DAYS}
        out["weighted_labels"] = put(formula, stages.labels(world, credited, **given))
    negative_settings = NegativeSettings(sample_rate=0.5, max_per_user_day=2)
    case = stages.labels(world, credited, **given)
    put("adjusted labels", stages.with_adjusted(case, became, max_days=REACH))
    put("hard_negatives", stages.negatives(world, settings=negative_settings, days=DAYS))
    features = {"settings": FeatureSettings(max_recent_actions=5), "days": DAYS}
    for of in ("user", "pin"):
        put(f"daily {of} counts", stages.counts(world, of=of, days=DAYS))
    put("daily_actions", stages.actions(world, **features))
    case = stages.user_features(world, credited, **features)
    put("adjusted histories", stages.with_adjusted(case, became, max_days=REACH))
    put("user_features", case)
    for name, has_catalogue in (("pins_seen", False), ("pin_features", True)):
        case = stages.pin_features(world, credited, has_catalogue=has_catalogue, **features)
        put(name, case)
    example_settings = ExampleSettings(training_days=3, holdout_days=1)
    put("example_features", stages.example_features(world, out, days=DAYS))
    put(
        "training_examples",
        stages.examples(out, settings=example_settings, delay=delay, days=DAYS),
    )
    return out


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseBackend]:
    """A local Spark, or a reason why there is none."""
    pytest.importorskip("pyspark", reason="pyspark is not installed: the extra `spark`")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Spark needs Java")
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.sql.session.timeZone", "UTC")
        # Two partitions, so that rows are told apart; no compiled stages: there are few rows.
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.sql.warehouse.dir", str(folder / "warehouse"))
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "1g")
        .getOrCreate()
    )
    yield ibis.pyspark.connect(session)
    session.stop()
    # Spark leaves its sockets to the garbage collector, which must not blame a later test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# Spark calls pandas in ways that pandas 3 deprecates, and leaves sockets open while it runs.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_both_engines_give_the_same_rows(
    con: BaseBackend, spark: BaseBackend, tmp_path: Path
) -> None:
    on_duckdb = build_all(Engine(con, tmp_path))
    on_spark = build_all(Engine(spark, tmp_path))
    assert all(on_duckdb.values()), "a stage without rows compares nothing"
    differing = [
        name for name, rows in on_duckdb.items() if exactly(rows) != exactly(on_spark[name])
    ]
    assert differing == []
