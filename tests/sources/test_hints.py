"""What is advised about a rejected row: by its reason, and by the values that it holds."""

import datetime as dt
from typing import Any

import pytest

from convcg_assets.sources.hints import advise, guess_unit
from convcg_assets.sources.source import Source

DAY = dt.date(2026, 1, 2)
NOON = 1767355200
SOURCE = Source.model_validate(
    {
        "name": "shop",
        "first_day": DAY,
        "streams": {
            "impressions": {"columns": {"impression_ts": {"column": "t", "time_unit": "s"}}},
            "conversions": {},
        },
    }
)


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (str(NOON), "s"),
        (NOON * 1000, "ms"),
        (f"{NOON}000000", "us"),
        ("2026-01-02", "iso"),
        ("2026-01-02T10:00:00Z", "iso"),
        ("02.01.2026 10:00", None),
        (NOON - 30 * 86_400, None),
        ("soon", None),
        (None, None),
        ("1e400", None),
    ],
)
def test_the_unit_is_that_which_puts_a_time_on_its_day(value: Any, unit: str | None) -> None:
    assert guess_unit(value, DAY, late_days=1) == unit


@pytest.mark.parametrize(
    ("reason", "row", "said"),
    [
        ("malformed impression_ts: no time in s since 1970", {"t": f"{NOON}000"},
         "set streams.impressions.columns.impression_ts.time_unit to ms (it is s)"),
        ("impression_ts outside its log's day", {"t": str(NOON - 9 * 86_400)}, "UTC day"),
        ("malformed user_id: not a 64-bit integer", {"user_id": "a"}, "id_types.user_id to string"),
        ("unknown surface", {"surface": "feed"},
         "found 'feed': map each in streams.impressions.surfaces to one of homefeed"),
        ("duplicate impression_id", {"impression_id": "i"}, "unique within a day"),
        ("duplicate impression_id", {}, "set streams.impressions.repeats to keep if each"),
        ("null pin_id", {}, "every row of this stream needs it"),
        ("wrong number of fields", {}, "unquoted"),
    ],
)  # fmt: skip
def test_the_advice_names_the_key_to_set(reason: str, row: dict[str, str], said: str) -> None:
    hint = advise(reason, [(DAY, row)], stream="impressions", source=SOURCE)
    assert hint is not None
    assert said in hint


def test_of_what_explains_itself_nothing_is_said() -> None:
    reason = "negative position"
    assert advise(reason, [(DAY, {})], stream="impressions", source=SOURCE) is None


@pytest.mark.parametrize(
    ("keys", "reason", "line", "said"),
    [
        ({"quote": "'"}, "wrong number of fields", 'a,"b,c",d', "set `quote: '\"'` (it is \"'\")"),
        ({}, "wrong number of fields", 'a,"b,c",d', "is a text with the delimiter"),
        ({"escape": "\\"}, "text after a closing quote", 'a,"b ""c"""', "leave out `escape`"),
        ({}, "text after a closing quote", 'a,"b" c', "is written twice"),
        ({}, "unclosed quote", 'a,"b', "set `line_breaks: true`"),
        ({}, "backslash before a quote, and no escape is set", "", 'set `escape: "\\\\"`'),
        ({}, "more than one JSON object in a line", "{}{}", "a line break is missing"),
        ({}, "too large value: more than 9e14", "", "is it the unit?"),
    ],
)
def test_rows_that_cannot_be_read(keys: dict[str, Any], reason: str, line: str, said: str) -> None:
    streams = {"impressions": keys}
    source = Source.model_validate({"name": "shop", "first_day": DAY, "streams": streams})
    hint = advise(reason, [(DAY, {"_line": line})], stream="impressions", source=source)
    assert said in (hint or "")
