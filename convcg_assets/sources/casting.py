"""Values as logged become typed values, each with the reason why it is not one where it is not.

Every function returns `(value, fault)`: `fault` is null where the value is fine (null included)
and a short stable text otherwise. The rules that join columns belong to `contract.py`.
"""

import datetime as dt
import functools
import zoneinfo
from typing import Any

import ibis

Expr = Any
"""A column or table expression; Ibis' own annotations are too narrow for a type checker."""

Cast = tuple[Expr, Expr]

# \z and not $: some engines let $ match before a closing line break.
_INTEGER = r"^(0|-?[1-9][0-9]{0,18})(\.0+)?\z"
_WHOLE = r"^-?[0-9]+(\.0+)?\z"
_WHOLE_TEXT = r"^(0|-?[1-9][0-9]*)\.0+\z"
_ZERO_FRACTION = r"\.0+\z"
_EXACT = 2**53
"""From here on a float no longer tells neighbouring integers apart."""
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\z"
_NOT_FINITE = r"^[+-]?(nan|NaN|NAN|inf|Inf|INF|infinity|Infinity)\z"
_LOCAL_TIME = r"^([0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)?)"
_ISO_TIME = _LOCAL_TIME + r"( ?(Z|UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?))?\z"
_OFFSET = r" ?([+-])([0-9]{2}):?([0-9]{2})?\z"
LARGEST_NUMBER = 9e14
"""Values, prices and seconds are summed in units of 0.0001, of which 64 bits hold so many."""
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999, in seconds since 1970."""
_ZONE_YEARS = 15


def no_fault() -> Expr:
    """The fault of a value that is fine."""
    return ibis.null("string")


def fault_where(*cases: tuple[Expr, str]) -> Expr:
    """The text of the first case that holds; null where none does."""
    return ibis.cases(*cases, else_=no_fault())


def null_unless(condition: Expr, value: Expr) -> Expr:
    """The value where the condition holds, else null."""
    return ibis.ifelse(condition, value, ibis.null(value.type()))


def cast_id(value: Expr, *, name: str, id_type: str) -> Cast:
    """An id, `int64` or `string`: text byte for byte, but whole floats and decimals as integers.

    A column of ids with nulls easily becomes one of floats, and `1029` becomes `1029.0`: in text as
    in numbers it is `1029`.
    """
    if id_type == "int64":
        number, wrong = _as_int64(value)
        return number, fault_where((wrong, f"malformed {name}: not a 64-bit integer"))
    text = id_text(value)
    if value.type().is_floating():
        too_large = value.abs() >= _EXACT
        return text, fault_where(
            (too_large, f"malformed {name}: a float of 2^53 or more, which is no exact integer"),
            (value.notnull() & text.isnull(), f"malformed {name}: a fraction"),
        )
    if value.type().is_decimal():
        return text, fault_where((value.notnull() & text.isnull(), f"malformed {name}: a fraction"))
    return text, fault_where((text == "", f"malformed {name}: empty text"))


def id_text(value: Expr) -> Expr:
    """An id as text, whole numbers without a fraction; null where a number is not whole."""
    kind = value.type()
    if kind.is_floating():
        return _as_int64(value)[0].cast("string")
    text = value.cast("string")
    if kind.is_decimal():
        return null_unless(text.re_search(_WHOLE), text.re_replace(_ZERO_FRACTION, ""))
    if kind.is_string():
        return ibis.ifelse(text.re_search(_WHOLE_TEXT), text.re_replace(_ZERO_FRACTION, ""), text)
    return text


def cast_integer(value: Expr, *, name: str) -> Cast:
    """A count or rank from 0."""
    number, wrong = _as_int64(value)
    return number, fault_where(
        (wrong, f"malformed {name}: not an integer"), (number < 0, f"negative {name}")
    )


def cast_number(value: Expr, *, name: str, factor: float = 1.0) -> Cast:
    """A finite number from 0 to `LARGEST_NUMBER`, times `factor`."""
    if value.type().is_string():
        infinite = value.re_search(_NOT_FINITE)
        number = null_unless(value.re_search(_NUMBER), value).try_cast("float64")
        wrong = value.notnull() & number.isnull() & ~infinite
    else:
        number = value.try_cast("float64")
        infinite = number.isnan() | number.isinf()
        wrong = value.notnull() & number.isnull()
    scaled = number if factor == 1.0 else number * factor
    return scaled, fault_where(
        (wrong, f"malformed {name}: not a number"),
        (infinite | number.isinf(), f"non-finite {name}"),
        (number < 0, f"negative {name}"),
        (scaled > LARGEST_NUMBER, f"too large {name}: more than 9e14"),
    )


def cast_time(value: Expr, *, name: str, unit: str, zone: str, first_day: dt.date) -> Cast:
    """A UTC timestamp, in microseconds, from timestamps, ISO text, or numbers since 1970 (`unit`).

    Times without a zone are taken as local in `zone`; the hour that autumn repeats as its first
    pass. Typed timestamps with a zone rely on the engine's session time zone being UTC.
    """
    kind = value.type()
    if kind.is_timestamp() or kind.is_date():
        stamp = value.cast("timestamp(6)")
        zoned = kind.is_timestamp() and kind.timezone is not None
        return (stamp if zoned else _to_utc(stamp, zone=zone, first_day=first_day)), no_fault()
    if unit == "iso":
        return _cast_iso(value, name=name, zone=zone, first_day=first_day)
    number, _ = cast_number(value, name=name)
    limit = _LAST_SECOND * (1_000_000 // _MICROSECONDS[unit])
    # Out of range becomes null before it is scaled: the product could overflow.
    if kind.is_integer():
        whole = value.try_cast("int64")
        known = null_unless((whole >= 0) & (whole <= limit), whole)
        micros = known * _MICROSECONDS[unit]
    else:
        known = null_unless((number >= 0) & (number <= limit), number)
        micros = (known * _MICROSECONDS[unit]).round().cast("int64")
    stamp = ibis.timestamp("1970-01-01 00:00:00") + micros.as_interval("us")
    wrong = value.notnull() & micros.isnull()
    return stamp.cast("timestamp(6)"), fault_where(
        (wrong, f"malformed {name}: no time in {unit} since 1970")
    )


def cast_vector(value: Expr, *, name: str) -> Cast:
    """An array of finite numbers, from an array or from text like `[0.1, 0.2]` or `0.1 0.2`."""
    if value.type().is_array():
        vector = value.cast("array<float64>")
        filled = value.notnull()
    else:
        text = value.cast("string").re_replace(r"[\[\]\s,;|]+", " ").strip()
        filled = text != ""
        parts = text.split(" ")
        sound = parts.filter(lambda part: part.re_search(_NUMBER))
        vector = null_unless(
            filled & (sound.length() == parts.length()),
            sound.map(lambda part: part.try_cast("float64")),
        )
    broken = vector.filter(lambda x: x.isnull() | x.isnan() | x.isinf()).length() > 0
    return vector, fault_where(
        (filled & vector.isnull(), f"malformed {name}: not a list of numbers"),
        (vector.length() == 0, f"malformed {name}: empty"),
        (broken, f"non-finite {name}"),
    )


def _as_int64(value: Expr) -> tuple[Expr, Expr]:
    """An integer, and whether there is a value that is none; `12.0` is 12, in text too."""
    kind = value.type()
    if kind.is_integer():
        number = value if kind.is_signed_integer() else value.try_cast("int64")
    elif kind.is_decimal():
        text = value.cast("string")
        whole = null_unless(text.re_search(_WHOLE), text.re_replace(_ZERO_FRACTION, ""))
        number = whole.try_cast("int64")
    elif kind.is_numeric():
        number = value.try_cast("int64")
        exact = number.cast("float64") == value.cast("float64")
        number = null_unless(exact & (value.abs() < _EXACT), number)
    else:
        text = value.cast("string")
        sound = null_unless(text.re_search(_INTEGER), text)
        number = sound.re_replace(_ZERO_FRACTION, "").try_cast("int64")
    number = number.cast("int64")
    return number, value.notnull() & number.isnull()


def _cast_iso(value: Expr, *, name: str, zone: str, first_day: dt.date) -> Cast:
    text = value.cast("string")
    sound = null_unless(text.re_search(_ISO_TIME), text)
    stamp = sound.re_extract(_LOCAL_TIME, 1).try_cast("timestamp(6)")
    minutes = _int_or_zero(sound.re_extract(_OFFSET, 2)) * 60 + _int_or_zero(
        sound.re_extract(_OFFSET, 3)
    )
    offset: Expr = ibis.ifelse(sound.re_extract(_OFFSET, 1) == "-", -minutes, minutes)
    named = sound.re_search(r"(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)\z") & (sound.length() > 10)
    local = _to_utc(stamp, zone=zone, first_day=first_day)
    utc = ibis.ifelse(named, stamp - offset.as_interval("m"), local)
    wrong = value.notnull() & stamp.isnull()
    return utc, fault_where(
        (wrong & text.re_search(_NUMBER), f"malformed {name}: a number, but time_unit is iso"),
        (wrong, f"malformed {name}: not an ISO 8601 time"),
    )


def _int_or_zero(text: Expr) -> Expr:
    return text.try_cast("int64").fill_null(0)


def _to_utc(stamp: Expr, *, zone: str, first_day: dt.date) -> Expr:
    """Local time to UTC by the zone's own offsets, so that every engine computes the same."""
    if zone == "UTC":
        return stamp
    changes = _offsets(zone, first_day.year - _ZONE_YEARS, first_day.year + _ZONE_YEARS)
    cases = [
        (stamp >= ibis.literal(start, "timestamp(6)"), offset)
        for start, offset in reversed(changes[1:])
    ]
    minutes = ibis.cases(*cases, else_=changes[0][1]) if cases else ibis.literal(changes[0][1])
    return stamp - minutes.cast("int64").as_interval("m")


@functools.cache
def _offsets(zone: str, first_year: int, last_year: int) -> list[tuple[dt.datetime, int]]:
    """`(local time from which it holds, minutes east of UTC)`, oldest first.

    >>> _offsets("Europe/Berlin", 2026, 2026)[1]
    (datetime.datetime(2026, 3, 29, 3, 0), 120)
    """
    info = zoneinfo.ZoneInfo(zone)

    def offset(local: dt.datetime) -> int:
        delta = local.replace(tzinfo=info).utcoffset()
        assert delta is not None
        return round(delta.total_seconds() / 60)

    hour = dt.datetime(first_year, 1, 1)
    changes = [(hour, offset(hour))]
    while hour.year <= last_year:
        later = hour + dt.timedelta(days=1)
        if offset(later) != changes[-1][1]:
            while offset(hour) == changes[-1][1]:
                hour += dt.timedelta(minutes=15)
            changes.append((hour, offset(hour)))
        hour = later
    return changes
