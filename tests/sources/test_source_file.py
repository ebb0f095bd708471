"""The source file: what it accepts, and what it says of mistakes."""

import datetime as dt
from pathlib import Path

import pytest

from convcg_assets.sources.columns import STREAMS
from convcg_assets.sources.source import Source, load_source

MINIMAL = "name: shop\nfirst_day: 2026-01-01\n"
SHOP = MINIMAL + "streams: {engagements: {}, conversions: {}}\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "source.yaml"
    path.write_text(text)
    return path


def test_minimal_source(tmp_path):
    source = load_source(write(tmp_path, SHOP))
    assert source.first_day == dt.date(2026, 1, 1)
    assert source.landing == tmp_path / "landing"
    assert source.stream("impressions") is None
    assert source.id_type("conversions", "conversion_id") == "string"
    assert source.id_kind("impressions", "subject_pin_id") == "pin_id"


def test_absolute_landing_stays(tmp_path):
    source = load_source(write(tmp_path, SHOP + f"landing: {tmp_path}/elsewhere\n"))
    assert source.landing == tmp_path / "elsewhere"


def test_mappings_in_short(tmp_path):
    text = (
        MINIMAL
        + """
streams:
  engagements:
    where: {event: [view, 1, true, null], shop: 7}
    columns:
      user_id: visitor
      pin_id: {column: item}
      engagement_ts: {column: t, time_unit: ms}
      engagement_type: {constant: click}
      engagement_id: [visitor, t]
      impression_id: null
    events: {2: click, yes: null}
  conversions:
"""
    )
    engagements = load_source(write(tmp_path, text)).streams.engagements
    assert engagements is not None
    assert engagements.where == {"event": ("view", "1", "true", None), "shop": ("7",)}
    assert engagements.columns["user_id"].column == "visitor"
    assert engagements.columns["engagement_ts"].time_unit == "ms"
    assert engagements.columns["engagement_id"].join == ("visitor", "t")
    assert engagements.columns["impression_id"].absent
    assert engagements.events == {"2": "click", "true": None}


def test_a_stream_that_is_named_alone_has_its_defaults(tmp_path):
    source = load_source(write(tmp_path, MINIMAL + "streams:\n  engagements:\n  pins:\n"))
    present = [name for name in STREAMS if source.stream(name) is not None]
    assert present == ["engagements", "pins"]


def test_engagement_ids_serve_as_impression_ids(tmp_path):
    text = SHOP + "id_types: {engagement_id: int64}\n"
    assert load_source(write(tmp_path, text)).id_types["impression_id"] == "int64"
    with pytest.raises(ValueError, match="the same type"):
        load_source(write(tmp_path, SHOP + "id_types: {impression_id: int64}\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [a\n", "is not YAML.*line"),
        ("just text\n", "holds no keys"),
        ("", "holds no keys"),
        (MINIMAL, "streams: missing"),
        ("streams: {engagements: {}, conversions: {}}\nfirst_day: 2026-01-01", "name: missing"),
        (SHOP + "frist_day: 2026-01-01\n", "frist_day: unknown key; did you mean 'first_day'"),
        (SHOP + "last_day: 2025-01-01\n", "last_day 2025-01-01 lies before first_day"),
        (SHOP + "time_zone: Berlin\n", "unknown time zone 'Berlin'"),
        (SHOP + "tolerance_minutes: -1\n", "tolerance_minutes: .*greater than or equal to 0"),
        (SHOP + "id_types: {user: int64}\n", "unknown kind of id 'user'; did you mean 'user_id'"),
        (SHOP + "id_types: {user_id: int}\n", r"id_types.user_id: .*'int64' or 'string'.*'int'"),
        (SHOP.replace("2026-01-01", "tomorrow"), "first_day: .*'tomorrow'"),
        (MINIMAL + "streams: {conversions: {}}\n", "add `impressions:` or `engagements:`"),
        (SHOP.replace("engagements: {}", "engagement: {}"), "did you mean 'engagements'"),
        (SHOP.replace("{engagements: {}", "{engagements: {formt: csv}"), "mean 'format'"),
        (
            SHOP.replace("{engagements: {}", "{engagements: {format: xls}"),
            "'parquet', 'csv', 'jsonl' or 'avro'",
        ),
        (
            SHOP.replace("{engagements: {}", "{engagements: {columns: {usr_id: u}}"),
            "unknown canonical column of engagements 'usr_id'; did you mean 'user_id'",
        ),
        (
            SHOP.replace("{engagements: {}", "{engagements: {columns: {user_id: null}}"),
            "engagements cannot be without it",
        ),
        (
            SHOP.replace("{engagements: {}", "{engagements: {columns: {user_id: {colunm: u}}}"),
            "streams.engagements.columns.user_id.colunm: unknown key; did you mean 'column'",
        ),
        (
            SHOP.replace("{engagements: {}", "{engagements: {columns: {user_id: 7}}"),
            "7 is no mapping",
        ),
        (
            SHOP.replace(
                "{engagements: {}", "{engagements: {columns: {user_id: {column: u, constant: x}}}"
            ),
            "exactly one of",
        ),
        (
            SHOP.replace("{engagements: {}", "{engagements: {delimiter: ';', quote: ';'}"),
            "delimiter: ';' is the quote or the escape too",
        ),
        (
            SHOP.replace("{engagements: {}", "{engagements: {quote: '', escape: x}"),
            "escape: stands before quotes, and quote is ''",
        ),
        (SHOP.replace("{engagements: {}", "{engagements: {line_breaks: maybe}"), "valid boolean"),
        (SHOP + "null_values: [null]\n", "null_values: quote what stands for nothing"),
        (
            SHOP.replace(
                "{engagements: {}",
                "{engagements: {columns: {user_id: {column: u, optional: true}}}",
            ),
            "engagements cannot be without it, so that it is neither optional",
        ),
        (
            SHOP.replace(
                "{engagements: {}",
                "{engagements: {columns: {duration_s: {absent: true, optional: true}}}",
            ),
            "optional is for columns of the files",
        ),
        (
            SHOP.replace("{engagements: {}", "{engagements: {events: {view: klick}}"),
            "unknown event of engagements 'klick'; did you mean 'click'",
        ),
        (
            SHOP.replace("{engagements: {}", "{engagements: {surfaces: {home: homefeed}}"),
            "only impressions have surfaces",
        ),
        (
            SHOP.replace("{engagements: {}", "{engagements: {columns: {engagement_id: [a, b]}}")
            + "id_types: {engagement_id: int64}",
            "set id_types.engagement_id to string",
        ),
    ],
)
def test_mistakes_are_explained(tmp_path, text, said):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=said) as error:
        load_source(path)
    assert str(path) in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        load_source(tmp_path / "none.yaml")


def test_every_field_is_described():
    models, seen = [Source], set()
    while models:
        model = models.pop()
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            models += [m for m in NESTED.get(name, ()) if m not in seen]
            seen |= set(NESTED.get(name, ()))


def _nested():
    from convcg_assets.sources.stream import ColumnMapping, Stream, Streams

    return {"streams": (Streams,), "impressions": (Stream,), "columns": (ColumnMapping,)}


NESTED = _nested()
