"""Ids as they are typed: in the type that the log's ids have, or an error that says which."""

import datetime as dt
from pathlib import Path

import pytest

from convcg_assets.commands.console import Failure
from convcg_assets.commands.ids import read_id
from convcg_assets.sources.source import Source

SOURCE = Source.model_validate(
    {
        "name": "shop",
        "first_day": dt.date(2026, 1, 1),
        "landing": Path("landing"),
        "id_types": {"impression_id": "int64"},
        "streams": {"impressions": {}, "conversions": {}},
    }
)


@pytest.mark.parametrize(
    ("typed", "read"), [("7", 7), ("-5", -5), ("9223372036854775807", 2**63 - 1)]
)
def test_an_id_that_is_an_integer(typed: str, read: int) -> None:
    assert read_id(SOURCE, "impression_id", typed) == read


@pytest.mark.parametrize("typed", ["007", "7.0", "", "-", "seven", "٣", "9223372036854775808"])
def test_what_no_integer_id_can_be(typed: str) -> None:
    with pytest.raises(Failure, match=f"^{typed!r} is no impression_id of this log"):
        read_id(SOURCE, "impression_id", typed)


@pytest.mark.parametrize("typed", ["007", "", "a b"])
def test_an_id_that_is_text_is_any(typed: str) -> None:
    assert read_id(SOURCE, "conversion_id", typed) == typed
