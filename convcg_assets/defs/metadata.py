"""What an asset's page shows: rows per day, a preview, counts by group, plots."""

import base64
import datetime as dt
import io
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import ibis
from ibis import _
from ibis.backends.duckdb import Backend

from convcg_assets.builds.build import Build
from convcg_assets.days import Days
from convcg_assets.defs.resources import Warehouse
from convcg_assets.sources.columns import Column
from convcg_assets.tables.registry import TABLES, VIEWS

PREVIEW_ROWS = 5
PREVIEW_CHARACTERS = 40
IN_SHORT = "in_short"
"""What there is to know of a build in one line; commands print it."""
Metadata = dict[str, Any]


def describe_table(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    table: str,
    days: Days,
    *,
    con: Backend,
) -> Metadata:
    """Attach each day's row count to its own partition; return what all days share.

    What is large (preview, plot, columns) is attached to the last day alone, which the UI shows of
    a range: each day has an event of its own, and all of them hold what all days share.
    """
    counts = warehouse.rows.num_rows(table, days, con=con)
    preview = con.to_pyarrow(warehouse.read(table, days, con=con).limit(PREVIEW_ROWS)).to_pylist()
    large = {
        "preview": dg.MetadataValue.md(markdown_table(preview)),
        "dagster/column_schema": column_schema(table, warehouse.lake.id_types),
        **({"rows_per_day": plot_bars(counts, ylabel="rows")} if len(days) > 1 else {}),
    }
    keys = set(context.partition_keys)
    last = max((day for day in counts if str(day) in keys), default=None)
    for day, rows in counts.items():
        if str(day) in keys:
            context.add_asset_metadata(
                {"dagster/partition_row_count": rows, **(large if day == last else {})},
                asset_key=dg.AssetKey(table),
                partition_key=str(day),
            )
    in_short = {"days": str(days), "rows": sum(counts.values())}
    if table in VIEWS:
        return {**in_short, "stored": "nothing: a view, made of its inputs whenever it is read"}
    return {
        **in_short,
        "lake_version": warehouse.lake.version(table),
        "path": dg.MetadataValue.path(warehouse.lake.path(table)),
    }


def column_schema(table: str, id_types: Mapping[str, str]) -> dg.TableSchema:
    """A table's columns with type and meaning."""
    types = TABLES[table].schema(id_types)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(name=name, type=str(types[name]), description=_describe(column))
            for name, column in TABLES[table].columns.items()
        ]
    )


def _describe(column: Column) -> str:
    values = f" ({', '.join(column.vocabulary)})" if column.vocabulary else ""
    return f"{column.meaning}{values}"


def count_by(rows: ibis.Table, *columns: str, con: Backend) -> dg.MarkdownMetadataValue:
    """Rows per combination of the columns, most first, as a Markdown table."""
    counts = rows.group_by(columns).agg(rows=_.count())
    total = ibis.window()
    counts = counts.mutate(share=(_.rows / _.rows.sum().over(total)).round(4))
    listed = con.to_pyarrow(counts.order_by(ibis.desc("rows"), *columns).limit(50)).to_pylist()
    return dg.MetadataValue.md(markdown_table(listed))


def window_metadata(build: Build) -> Metadata:
    """How much of each window that was read the lake holds: what is missing is said."""
    said = {}
    for source in build.recipe.inputs:
        version, window = build.state[source.table].version, source.days(build.days)
        held = version.files if version else {}
        share = f"{sum(day in held for day in window)} of {len(window)} days"
        said[f"window_{source.table}"] = f"{window}: {share}"
        if source.holds:
            newest = build.state[source.table].newest_before(build.days.last)
            said[f"snapshot_{source.table}"] = _snapshot_age(newest, build.days.last)
    return said


def _snapshot_age(snapshot: dt.date | None, day: dt.date) -> str:
    if snapshot is None:
        return f"none before {day}"
    return f"{snapshot}, {(day - snapshot).days} days before {day}"


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""Rows as a Markdown table; long values are cut.

    >>> print(markdown_table([{"a": 1, "b": "x|y"}]))
    | a | b |
    | --- | --- |
    | 1 | x\|y |
    """
    if not rows:
        return "no rows"
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([_cell(row[n]) for n in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plot_bars(values: Mapping[Any, float], *, ylabel: str) -> dg.MarkdownMetadataValue:
    """A bar per key, as an inline picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.2), layout="constrained")
    axes = figure.subplots()
    labels = [str(key) for key in values]
    axes.bar(range(len(labels)), list(values.values()), color="#4f6bed")
    step = max(1, len(labels) // 8)
    axes.set_xticks(range(0, len(labels), step), labels[::step], fontsize=8, rotation=20)
    axes.set_ylabel(ylabel)
    axes.set_ylim(bottom=0, top=None if any(values.values()) else 1)
    axes.spines[["top", "right"]].set_visible(False)
    return inline_figure(figure)


def inline_figure(figure: Any) -> dg.MarkdownMetadataValue:
    """A matplotlib figure as a Markdown picture that needs no file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{encoded})")


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    text = text.replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= PREVIEW_CHARACTERS else text[: PREVIEW_CHARACTERS - 1] + "…"
