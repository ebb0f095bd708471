"""What belongs together is tied: whoever forgets a step is told which."""

import inspect
from functools import cache
from importlib.resources import files

import pytest

from convcg_assets.defs.pages import PAGES
from convcg_assets.sources.columns import (
    CONVERSION_EVENTS,
    ENGAGEMENT_TYPES,
    STREAMS,
    SURFACES,
    Column,
)
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import Streams
from convcg_assets.tables import credit_models
from convcg_assets.tables.credit_models import CREDIT_MODELS
from convcg_assets.tables.registry import ARTIFACTS, DERIVED, TABLES
from convcg_assets.tables.settings import AttributionSettings, LabelSettings, Settings
from convcg_assets.tables.table import Scope, digest_settings
from convcg_assets.tables.touches import TOUCH_TYPES
from convcg_model import features
from convcg_model.evaluation.wording import words

from .oracle_attribution import CREDITS

NUMBERS = ("int64", "float64")
SETTINGS_DIGEST, SOURCE_DIGEST = "27d7bc55064dece7", "92c4af1bfcf0a0aa"
REMEDY = (
    "every built day would be stale. Declare a new field by `added` of config.py; write the new "
    "digest here only where a default changes on purpose"
)


@cache
def source() -> Source:
    """A log that has every stream."""
    streams = {stream: {} for stream in Streams.model_fields if stream in STREAMS}
    return Source.model_validate({"name": "all", "first_day": "2026-01-01", "streams": streams})


def names_of_numbers(columns: dict[str, Column]) -> set[str]:
    return {name for name, column in columns.items() if column.type in NUMBERS}


@pytest.mark.parametrize(
    ("table", "read", "prefix"),
    [
        ("pin_features", features.PIN_NUMBERS, ""),
        ("user_features", features.USER_NUMBERS, "user_"),
    ],
)
def test_the_model_reads_every_number(table: str, read: tuple[str, ...], prefix: str) -> None:
    there = {f"{prefix}{name}" for name in names_of_numbers(TABLES[table].columns)}
    forgotten = there - set(read)
    assert not forgotten, f"{table}: add {forgotten} to {prefix or 'pin_'}numbers of features.py"
    unknown = set(read) - there
    assert not unknown, f"features.py reads {unknown}, which {table} does not have"


def test_what_the_model_divides_and_looks_up_is_there() -> None:
    pin, user = TABLES["pin_features"].columns, TABLES["training_examples"].columns
    assert {name for pair in features.PIN_RATES for name in pair} <= set(pin)
    assert {name for pair in features.USER_RATES for name in pair} <= set(user)
    assert set(features.CONTEXT_COLUMNS) <= set(user)


def test_every_event_has_a_weight_and_every_weight_an_event() -> None:
    needed = {f"{event}_weight" for event in (*CONVERSION_EVENTS, *ENGAGEMENT_TYPES)}
    there = {name for name in LabelSettings.model_fields if name.endswith("_weight")}
    assert there >= needed, f"add {needed - there} to LabelSettings in tables/settings.py"
    assert there <= needed, f"add the event of {there - needed} to sources/columns.py"


def test_every_credit_model_can_be_named() -> None:
    written = inspect.getmembers(credit_models, inspect.isfunction)
    models = {name for name, f in written if f.__module__ == credit_models.__name__}
    models = {name for name in models if not name.startswith("_")}
    assert models == set(CREDIT_MODELS), "add its line to CREDIT_MODELS in credit_models.py"


@pytest.mark.parametrize("model", CREDIT_MODELS)
def test_every_credit_model_has_an_oracle(model: str) -> None:
    assert model in CREDITS, f"write {model} another way, in tests/tables/oracle_attribution.py"


def test_a_setting_that_is_added_leaves_what_is_built_as_it_is() -> None:
    assert digest_settings(1, Settings()) == SETTINGS_DIGEST, REMEDY
    streams = {stream: {} for stream in ("impressions", "engagements", "conversions", "pins")}
    log = {"name": "log", "first_day": "2026-01-01", "landing": "/log", "streams": streams}
    assert digest_settings(1, Source.model_validate(log)) == SOURCE_DIGEST, REMEDY


@pytest.mark.parametrize("surface", SURFACES)
def test_the_report_has_words_for_every_surface(surface: str) -> None:
    assert words(surface)[0].isupper(), f"add {surface} to _WORDS in report/wording.py"


def test_a_source_may_have_every_stream() -> None:
    there, fields = set(STREAMS), set(Streams.model_fields)
    assert fields >= there, f"add {there - fields} to Streams in sources/stream.py"
    assert there >= fields, f"add {fields - there} to STREAMS in sources/columns.py"


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_a_suite(table: str) -> None:
    suite = files("expectations") / f"{table}.json"
    assert suite.is_file(), f"write expectations/{table}.json"


@pytest.mark.parametrize("stream", STREAMS)
def test_every_stream_has_a_table_and_rules_that_name_its_columns(stream: str) -> None:
    rules = STREAMS[stream]
    assert stream in TABLES, f"add {stream} to tables/raw.py"
    assert {rules.key, rules.time, *rules.logged, *rules.derived} <= set(rules.columns)
    assert rules.event is None or rules.columns[rules.event].vocabulary
    assert rules.kind == "snapshot" or all(rules.columns[name].required for name in rules.logged)


@pytest.mark.parametrize("table", DERIVED)
def test_a_table_is_built_from_tables_before_it(table: str) -> None:
    order = [*TABLES, *ARTIFACTS]
    scope = Scope(source(), Settings())
    for read in DERIVED[table].recipe(scope).inputs:
        assert order.index(read.table) < order.index(table), f"{table} reads {read.table}"


@pytest.mark.parametrize("table", TABLES)
def test_keys_and_cells_are_columns(table: str) -> None:
    entry = TABLES[table]
    assert next(iter(entry.columns)) == "dt"
    assert set(entry.key) <= set(entry.columns)
    assert entry.later is None or entry.later in entry.columns
    assert (entry.rows is None and entry.sql is None) == (table not in DERIVED)


def test_every_derived_table_has_a_page() -> None:
    differing = set(PAGES) ^ set(DERIVED)
    assert not differing, f"{differing}: in registry.py or in defs/pages.py, not in both"


def test_every_type_of_touch_has_a_window() -> None:
    assert tuple(AttributionSettings().window_days) == TOUCH_TYPES
