"""Merges of ids as logged: the contract."""

import datetime as dt

import pytest

from convcg_assets.sources.columns import MERGES

RULES = [
    ({"from_user_id": None}, "null from_user_id"),
    ({"to_user_id": ""}, "malformed to_user_id: empty text"),
    ({"merged_ts": None}, "null merged_ts"),
    ({"merged_ts": "2026-01-02 11:00:01"}, "merged_ts after received_ts"),
    ({"received_ts": "2026-01-04"}, "received_ts outside its log's day"),
]


@pytest.mark.parametrize(("change", "reason"), RULES)
def test_rules(judge, change, reason):
    valid, rejected = judge(MERGES, change)
    assert [row["reason"] for row in rejected] == [reason]
    assert valid == []


def test_ids_of_another_kind_are_refused(judge):
    _, rejected = judge(MERGES, {"from_user_id": "anna"}, id_types={"user_id": "int64"})
    assert "from_user_id" in rejected[0]["reason"]


def test_what_may_be_absent(judge):
    streams = {"impressions": {}, MERGES: {"columns": dict.fromkeys(("merge_id", "received_ts"))}}
    (row,), rejected = judge(MERGES, {"merged_ts": "2025-12-01"}, streams=streams)
    assert row["received_ts"] == dt.datetime(2026, 1, 2)
    assert (row["from_user_id"], row["to_user_id"]) == ("browser-7", "anna")
    assert rejected == []
