"""Equal rows of a log without ids: kept and numbered, dropped, or an error where they are many."""

import datetime as dt
import json
from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from convcg_assets.builds.raw import build_raw
from convcg_assets.days import Days
from convcg_assets.sources.faults import LandingError
from tests.builds.deployment import make_deployment

from .contract_rows import DAY

HEADER = "user_id,pin_id,engagement_ts,engagement_type\n"


def clicks(rng: Random, num: int) -> list[str]:
    """Clicks whose times are days: many are equal."""
    return [f"u{rng.randrange(6)},p{rng.randrange(4)},{DAY},click\n" for _ in range(num)]


@pytest.fixture
def shop(source):
    def build(repeats: str | None, **given):
        engagements = given | ({"repeats": repeats} if repeats else {})
        return source(streams={"engagements": engagements, "conversions": {}})

    return build


def content(row: dict) -> tuple:
    return tuple(row[c] for c in ("user_id", "pin_id", "engagement_ts", "engagement_type"))


def test_kept_rows_are_numbered_whatever_the_order_of_files_and_rows(shop, land, outcome, tmp_path):
    rows = clicks(Random(1), 90)
    time = dt.datetime.combine(DAY, dt.time())
    split = [row.strip().split(",") for row in rows]
    wanted = Counter((user, pin, time, kind) for user, pin, _, kind in split)
    found = []
    for seed in range(3):
        Random(seed).shuffle(rows)
        cuts = ((0, 90), (0, 50, 90), (0, 10, 20, 90))[seed]
        for number, (first, last) in enumerate(pairwise(cuts)):
            land("engagements", HEADER + "".join(rows[first:last]), name=f"{number}.csv")
        valid, rejected = outcome(shop("keep"), "engagements")
        assert rejected == []
        assert Counter(map(content, valid)) == wanted
        assert len(valid) == len({row["engagement_id"] for row in valid}) == 90
        assert {row["impression_id"] for row in valid} == {row["engagement_id"] for row in valid}
        found.append(sorted((row["engagement_id"], content(row)) for row in valid))
    assert found[0] == found[1] == found[2]
    # Of n equal rows one has the id of their content, the others that id with 1 to n - 1.
    numbers: dict[str, set[str]] = {}
    for made, _ in found[0]:
        numbers.setdefault(made.partition(":")[0], set()).add(made.partition(":")[2])
    assert all(n == {"", *map(str, range(1, len(n)))} for n in numbers.values())
    assert max(map(len, numbers.values())) > 3


def test_the_first_of_equal_rows_has_the_same_id_whatever_is_said_of_the_others(
    shop, land, outcome
):
    rows = clicks(Random(2), 30)
    land("engagements", HEADER + "".join(rows))
    kept, _ = outcome(shop("keep"), "engagements")
    dropped, none = outcome(shop("drop"), "engagements")
    first, rejected = outcome(shop(None), "engagements")
    assert none == []
    assert sorted(map(repr, dropped)) == sorted(map(repr, first))
    assert {r["engagement_id"] for r in dropped} == {
        r["engagement_id"] for r in kept if ":" not in r["engagement_id"]
    }
    assert len(dropped) == len(set(rows))
    assert {r["reason"] for r in rejected} == {"duplicate engagement_id"}
    assert len(first) + len(rejected) == 30


def test_rows_that_break_another_rule_have_no_part_in_it(shop, land, outcome):
    bad = f"u1,p1,{DAY},jump\n"
    land("engagements", HEADER + bad * 3 + f"u1,p1,{DAY},click\n" * 2)
    for repeats, num_valid in (("keep", 2), ("drop", 1)):
        valid, rejected = outcome(shop(repeats), "engagements")
        assert len(valid) == num_valid
        assert [r["reason"] for r in rejected] == ["unknown event"] * 3


@pytest.mark.parametrize(
    ("num_equal", "num_others", "is_error"),
    [(9, 100, False), (10, 100, True), (10, 990, False), (10, 989, True)],
)
def test_many_equal_rows_of_which_nothing_is_said_are_an_error_of_their_day(
    shop, land, tmp_path, con, num_equal, num_others, is_error
):
    same = f"u0,p0,{DAY},click\n"
    others = [f"u{i},p1,{DAY},click\n" for i in range(num_others - 1)]
    land("engagements", HEADER + same * (num_equal + 1) + "".join(others))
    land("conversions", "conversion_id,event_ts,event_name\n")
    deployment = make_deployment(tmp_path / "home", shop(None))
    if not is_error:
        assert build_raw(deployment, Days(DAY, DAY), con=con).failed == {}
        return
    with pytest.raises(LandingError, match=r"set streams.engagements.repeats to keep if") as error:
        build_raw(deployment, Days(DAY, DAY), con=con)
    assert list(error.value.days) == [DAY]
    assert f"{num_equal:,} of {num_equal + num_others:,} rows" in str(error.value)
    for repeats, num_rows in (("keep", num_equal + num_others), ("drop", num_others)):
        settled = make_deployment(tmp_path / repeats, shop(repeats))
        build_raw(settled, Days(DAY, DAY), con=con)
        assert settled.lake.num_rows("engagements", Days(DAY, DAY), con=con)[DAY] == num_rows


def test_repeats_is_for_logs_without_an_id(source, shop, land, outcome):
    with pytest.raises(ValueError, match=r"engagement_id are duplicates; leave repeats out"):
        shop("keep", columns={"engagement_id": "id"})
    with pytest.raises(ValueError, match=r"pins cannot be without pin_id"):
        source(streams={"engagements": {}, "conversions": {}, "pins": {"repeats": "keep"}})
    land("engagements", f"engagement_id,{HEADER}e1,u,p,{DAY},click\n")
    with pytest.raises(ValueError, match=r"engagement_id, which tells"):
        outcome(shop("keep"), "engagements")


def test_json_rows_are_numbered_too(shop, land, outcome):
    fields = {"user_id": "u", "pin_id": "p", "engagement_type": "click"}
    line = json.dumps(fields | {"engagement_ts": f"{DAY} 10:00:00"})
    land("engagements", f"{line}\n" * 3, name="a.jsonl")
    valid, _ = outcome(shop("keep"), "engagements")
    assert len({row["engagement_id"] for row in valid}) == 3
