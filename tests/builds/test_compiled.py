"""SQL that was compiled is used again where nothing that the rows read is another."""

from dataclasses import replace
from typing import Any

import ibis
import pytest
from pydantic import BaseModel

from convcg_assets.builds.compiled import compile_rows, compiled_key, symbolic_inputs
from convcg_assets.builds.raw_queries import compile_contract
from convcg_assets.days import Days
from convcg_assets.lake.engine import connect
from convcg_assets.sources.columns import ADJUSTMENTS
from convcg_assets.tables.registry import DERIVED, table_schema
from convcg_assets.tables.settings import Settings
from convcg_assets.tables.table import Scope

from ..tables.golden_sql import PLACE, sources
from .logs import day

DAYS = Days(day(0), day(1))


def recording(model: Any, reads: set[tuple[str, ...]], path: tuple[str, ...] = ()) -> Any:
    """The same model, which notes the paths of the plain values that are read of it."""

    def __getattribute__(self: Any, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name in type(model).model_fields:
            if isinstance(value, BaseModel):
                return recording(value, reads, (*path, name))
            reads.add((*path, name))
        return value

    kind = type(type(model).__name__, (type(model),), {"__getattribute__": __getattribute__})
    return kind.model_construct(**{name: getattr(model, name) for name in type(model).model_fields})


def replaced(model: Any, path: tuple[str, ...]) -> Any:
    """The same model with another value at a path."""
    name, *rest = path
    value = getattr(model, name)
    if rest:
        other = replaced(value, tuple(rest))
    else:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        other = value + 7 if is_number else f"not {value}"
    return model.model_copy(update={name: other})


@pytest.mark.parametrize("log", ["whole", "every"])
@pytest.mark.parametrize("table", [name for name, entry in DERIVED.items() if entry.rows])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_every_setting_that_rows_read_tells_their_sql_apart(table: str, log: str) -> None:
    entry, source, settings = DERIVED[table], sources()[log], Settings()
    if not entry.is_there(source):
        pytest.skip(f"this log has no {table}")
    assert entry.rows is not None
    reads: set[tuple[str, ...]] = set()
    inputs = symbolic_inputs(table, DAYS, scope=Scope(source, settings))
    scope = Scope(source, recording(settings, reads))
    entry.rows(replace(inputs, scope=scope))
    key = compiled_key(table, scope=Scope(source, settings))
    for path in sorted(reads):
        changed = Scope(source, replaced(settings, path))
        assert compiled_key(table, scope=changed) != key, f"{table} reads {'.'.join(path)}"


@pytest.mark.parametrize("table", [name for name, entry in DERIVED.items() if entry.rows])
def test_what_rows_do_not_read_leaves_their_sql(table: str) -> None:
    source = sources()["every"]
    scope = Scope(source, Settings())
    other = source.model_copy(update={"name": "other", "null_values": ("-",)})
    assert compiled_key(table, scope=Scope(other, Settings())) == compiled_key(table, scope=scope)


def test_streams_beside_a_stream_leave_its_sql() -> None:
    con = connect(threads=1)
    whole = sources()["whole"]
    fewer = whole.streams.model_copy(update={"engagements": None, "pins": None})
    kinds = {**table_schema("users", whole.id_types), **PLACE}
    texts = [
        compile_contract([ibis.schema(kinds)], stream="users", source=source, con=con)["valid"]
        for source in (whole, whole.model_copy(update={"name": "fewer", "streams": fewer}))
    ]
    con.disconnect()
    assert texts[0] is texts[1]


def test_what_is_read_of_another_stream_tells_sql_apart() -> None:
    con = connect(threads=1)
    every = sources()["every"]
    conversions = every.stream("conversions")
    assert conversions is not None
    renamed = conversions.model_copy(update={"events": {"bought": "checkout"}})
    streams = every.streams.model_copy(update={"conversions": renamed})
    kinds = {**table_schema(ADJUSTMENTS, every.id_types), **PLACE}
    texts = [
        compile_contract([ibis.schema(kinds)], stream=ADJUSTMENTS, source=source, con=con)["valid"]
        for source in (every, every.model_copy(update={"streams": streams}))
    ]
    con.disconnect()
    assert texts[0].text != texts[1].text


@pytest.mark.parametrize("log", ["whole", "every"])
@pytest.mark.parametrize("table", [name for name, entry in DERIVED.items() if entry.rows])
def test_the_same_sql_serves_any_number_of_days(table: str, log: str) -> None:
    """Of one day, too: it is the same with both ends on that day."""
    entry, source = DERIVED[table], sources()[log]
    if not entry.is_there(source):
        pytest.skip(f"this log has no {table}")
    assert entry.rows is not None
    con, scope = connect(threads=1), Scope(source, Settings())
    for num_days in (2, 9):
        days = Days(day(0), day(num_days - 1))
        now = con.compile(entry.rows(symbolic_inputs(table, days, scope=scope)))
        assert compile_rows(table, days, scope=scope, con=con).text == now
    con.disconnect()
