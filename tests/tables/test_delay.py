"""The delay curve against brute force and by hand; what was known when; maturity by label day."""

import hypothesis
import ibis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend

from convcg_assets.days import Days
from convcg_assets.tables.conversion_delay import COLUMNS as CONVERSION_DELAY
from convcg_assets.tables.maturity import with_maturity
from convcg_assets.tables.settings import AttributionSettings, DelaySettings

from . import oracle_attribution, oracle_delay, stages
from .conftest import Build
from .event_rows import credit
from .tables import arrived_before, assert_same_rows, exactly, to_table
from .world import DAY, Row, World, day, worlds

ALWAYS = Days(day(-70), day(140))
KEY = ("dt", "level", "segment", "advertiser_id", "weekday", "upload_in_days", "delay_days")
ATTRIBUTION = AttributionSettings(model="linear", view_window_days=7)
H = 3

some_settings = st.builds(
    DelaySettings,
    estimation_days=st.sampled_from((1, 4, 28)),
    cadence_days=st.sampled_from((14, 28)),
    advertiser_kappa=st.sampled_from((1.0, 20.0)),
    segment_kappa=st.sampled_from((1.0, 20.0)),
    min_weekly=st.just(2),
    weekly_share=st.sampled_from((0.51, 0.8)),
    max_maturity_factor=st.sampled_from((2.0, 5.0)),
)
some_days = st.sampled_from((1, 3, 8, 30)).map(lambda o: Days(day(o), day(o + 2)))


def credited(events: World) -> list[Row]:
    return oracle_attribution.attributed(events, settings=ATTRIBUTION, days=ALWAYS)


@hypothesis.settings(max_examples=15)
@given(events=worlds(), settings=some_settings, days=some_days)
def test_equals_brute_force(build: Build, events: World, settings, days: Days) -> None:
    rows = credited(events)
    given = {"settings": settings, "horizon_days": ATTRIBUTION.horizon_days, "days": days}
    expected = oracle_delay.curves(rows, **given)
    assert_same_rows(build(stages.delay, rows, **given), expected, key=KEY)
    assert_same_rows(
        build(stages.maturity, rows, expected, **given),
        oracle_delay.maturities(rows, expected, **given),
        key=("dt", "impression_day"),
    )


@hypothesis.settings(max_examples=4)
@given(events=worlds(), settings=some_settings, days=some_days)
def test_a_range_equals_its_days_one_by_one(build: Build, events: World, settings, days) -> None:
    rows, given = credited(events), {"settings": settings, "horizon_days": 37}
    one_by_one = [row for d in days for row in build(stages.delay, rows, **given, days=Days(d, d))]
    assert exactly(build(stages.delay, rows, **given, days=days)) == exactly(one_by_one)


@hypothesis.settings(max_examples=4)
@given(events=worlds(), settings=some_settings, today=st.sampled_from((1, 2, 3, 8, 31)))
def test_rebuilt_later_it_is_as_on_the_day_itself(
    build: Build, events: World, settings, today: int
) -> None:
    rows, days = credited(events), Days(day(today), day(today))
    given = {"settings": settings, "horizon_days": 37, "days": days}
    past = arrived_before(rows, day(today))
    assert exactly(build(stages.delay, rows, **given)) == exactly(
        build(stages.delay, past, **given)
    )


@hypothesis.settings(max_examples=5)
@given(events=worlds(), settings=some_settings, days=some_days)
def test_shares_rise_to_1_within_their_intervals(build: Build, events: World, settings, days):
    rows = build(stages.delay, credited(events), settings=settings, horizon_days=37, days=days)
    before = {}
    for row in sorted(rows, key=lambda row: row["delay_days"]):
        group = tuple(row[name] for name in KEY[:-1])
        assert before.get(group, 0.0) <= row["share"] + 1e-11
        assert 0 <= row["share_low"] <= row["share"] <= row["share_high"] <= 1
        before[group] = row["share"]
    assert all(share == pytest.approx(1) for share in before.values())


def arrived(shown: int, delays: list[int], *, advertiser: int = 3, lag: int = 0) -> list[Row]:
    """Conversions of an impression day that arrived after so many days."""
    return [
        credit(
            100_000 * advertiser + 1000 * shown + i,
            shown=shown,
            arrival=shown + d,
            lag=lag,
            advertiser_id=advertiser,
        )
        for i, d in enumerate(delays)
    ]


def curve(build: Build, rows: list[Row], *, today: int, level: str = "global", **given) -> dict:
    settings = DelaySettings(**{"advertiser_kappa": 2, "segment_kappa": 3, **given})
    days = Days(day(today), day(today))
    made = build(stages.delay, rows, settings=settings, horizon_days=H, days=days)
    return {
        (row["advertiser_id"], row["weekday"], row["delay_days"]): row
        for row in made
        if row["level"] == level
    }


def test_by_hand(build: Build) -> None:
    """Day 0 is old enough for delays up to 4, day 3 up to 1."""
    rows = arrived(0, [0, 0, 1, 2]) + arrived(3, [0, 0, 1])
    by_delay = {k: row for (_, _, k), row in curve(build, rows, today=5).items()}
    assert [by_delay[k]["num_arrived"] for k in range(4)] == [4, 2, 1, 0]
    assert [by_delay[k]["num_until"] for k in range(4)] == [4, 6, 4, 4]
    # h(2) = 1/4 of day 0 alone, h(1) = 2/6 of both days.
    shares = [(1 - 2 / 6) * (1 - 1 / 4), 1 - 1 / 4, 1, 1]
    assert [by_delay[k]["share"] for k in range(4)] == pytest.approx(shares)


def test_what_has_not_had_the_time_is_not_missing(build: Build) -> None:
    """A day that is too young for a delay says nothing of it: a plain share would be 6/7."""
    rows = arrived(0, [0, 2]) + arrived(4, [0, 0, 0, 0, 0])
    by_delay = {k: row for (_, _, k), row in curve(build, rows, today=5).items()}
    assert by_delay[0]["share"] == pytest.approx(1 / 2)


def test_advertisers_are_pooled_with_their_segment(build: Build) -> None:
    """Both report at once: 3 half at once and half a day later, 4 all at once."""
    rows = arrived(0, [0, 1]) + arrived(0, [0, 0], advertiser=4)
    overall = 3 / 4
    segment = (4 * 3 / 4 + 3 * overall) / (4 + 3)
    shares = curve(build, rows, today=5, level="advertiser")
    assert shares[3, None, 0]["own_share"] == pytest.approx(1 / 2)
    assert shares[3, None, 0]["share"] == pytest.approx((2 * 1 / 2 + 2 * segment) / (2 + 2))
    assert shares[4, None, 0]["share"] == pytest.approx((2 * 1 + 2 * segment) / (2 + 2))


def test_a_young_advertiser_follows_its_segment_where_it_has_not_been_seen(build: Build) -> None:
    rows = arrived(0, [0, 1, 2]) + arrived(4, [0, 0], advertiser=4)
    shares = curve(build, rows, today=5, level="advertiser")
    segment = curve(build, rows, today=5, level="segment")
    assert shares[4, None, 0]["observed_days"] == 0
    for k in range(4):
        assert shares[4, None, k]["share"] == pytest.approx(segment[None, None, k]["share"])


def test_a_log_shorter_than_the_horizon_shows_what_it_cannot_know(build: Build) -> None:
    rows = arrived(3, [0, 1])
    by_delay = {k: row for (_, _, k), row in curve(build, rows, today=5).items()}
    assert {row["observed_days"] for row in by_delay.values()} == {1}
    assert [by_delay[k]["share"] for k in range(4)] == pytest.approx([1 / 2, 1, 1, 1])


def test_days_before_the_window_are_left_out(build: Build) -> None:
    rows = arrived(0, [0, 0, 3]) + arrived(1, [0, 1])
    shares = curve(build, rows, today=5, estimation_days=1)
    assert {row["num_conversions"] for row in shares.values()} == {2}


def test_touches_of_one_impression_are_one_piece_of_evidence(build: Build) -> None:
    row = credit(1, shown=0, arrival=0)
    twice = [row | {"credit": 0.5}, row | {"credit": 0.5, "touch_type": "view"}]
    assert {r["num_conversions"] for r in curve(build, twice, today=5).values()} == {1}


def weekly(advertiser: int = 3) -> list[Row]:
    """Three weeks of a purchase a day at once, all uploaded on weekday of day 6 and 13 and 20."""
    return [
        row
        for shown in range(20)
        for row in arrived(
            shown, [(6 - shown) % 7 or 7], advertiser=advertiser, lag=(6 - shown) % 7 or 7
        )
    ]


def test_of_a_weekly_reporter_nothing_arrives_between_uploads(build: Build) -> None:
    made = build(
        stages.delay,
        weekly(),
        settings=DelaySettings(),
        horizon_days=14,
        days=Days(day(21), day(21)),
    )
    own = [row for row in made if row["level"] == "advertiser"]
    assert {row["segment"] for row in own} == {"weekly"}
    assert {row["weekday"] for row in own} == set(range(7))
    for row in own:
        assert (day(6).weekday() - row["weekday"]) % 7 == row["upload_in_days"]
        wait = row["upload_in_days"] or 7
        if row["delay_days"] < row["upload_in_days"]:
            assert row["share"] == 0
        elif row["delay_days"] >= wait:
            assert row["own_share"] == pytest.approx(1)


def weighed(con: Backend, curves: list[Row], rows: list[tuple], **given) -> list[float]:
    """Maturity factors of (advertiser, impression day) as of day 23."""
    names = ("advertiser_id", "impression_day", "row", "one")
    data = [dict(zip(names, (a, day(d), i, 1), strict=True)) for i, (a, d) in enumerate(rows)]
    kinds = {"advertiser_id": "int64", "impression_day": "date", "row": "int64", "one": "int64"}
    table = ibis.memtable(data, schema=kinds).mutate(as_of=ibis.literal(day(23)))
    settings = DelaySettings(**given.pop("settings", {}))
    expr = with_maturity(
        table, to_table(curves, table="conversion_delay"), settings=settings, **given
    )
    return con.to_pyarrow(expr.order_by("row"))["maturity_factor"].to_pylist()


def test_maturity_of_a_weekly_reporter_depends_on_the_weekday(build: Build, con: Backend) -> None:
    """The last upload was on day 20. What was shown since has nothing; advertiser 3 is alone."""
    given = {"settings": DelaySettings(advertiser_kappa=1e-6, segment_kappa=1e-6)}
    days = Days(day(23), day(23))
    curves = build(stages.delay, weekly(), **given, horizon_days=14, days=days)
    shown = [(3, d) for d in (22, 20, 19, 16)]
    # Of day 20 and later nothing has arrived: the cap. Of the four days before, all has.
    assert weighed(con, curves, shown) == pytest.approx([5, 5, 1, 1], abs=1e-4)
    # Ages 0 to 6 are days 22 to 16: three of seven without any, so each of four counts 7/4.
    week = weighed(con, curves, shown, num_days=7)
    assert week == pytest.approx([7 / 4] * 4, abs=1e-4)
    # Of the ages 2 to 6 alone, as of a holdout that ended two days ago, one of five has none.
    later = weighed(con, curves, shown[1:], num_days=7, ages=range(2, 7))
    assert later == pytest.approx([5 / 4] * 3, abs=1e-4)


def of_day_23(**columns) -> Row:
    """What day 23 knows of conversions on the day of the impression."""
    return dict.fromkeys(CONVERSION_DELAY) | {"dt": day(23), "delay_days": 0} | columns


def test_factors_are_calibrated_to_what_the_global_curve_expects(con: Backend) -> None:
    """Advertiser 1 is ripe, of 2 half has arrived, of all a third."""
    curves = [
        of_day_23(level="global", share=1 / 3),
        of_day_23(level="advertiser", advertiser_id=1, share=1.0),
        of_day_23(level="advertiser", advertiser_id=2, share=0.5),
    ]
    rows = [(1, 22), (1, 22), (2, 22)]
    assert weighed(con, curves, rows) == pytest.approx([1, 1, 2])
    # Three have arrived, nine are expected, and the advertisers' factors stand for four.
    found = weighed(con, curves, rows, num_labels="one")
    assert found == pytest.approx([9 / 4, 9 / 4, 9 / 2])
    capped = weighed(con, curves, rows, num_labels="one", settings={"max_maturity_factor": 2.5})
    assert capped == pytest.approx([2.5 * 3 / 4] * 2 + [2.5])
    # What the advertisers stand for is never cut, and neither are single curves.
    assert weighed(con, curves[1:], rows, num_labels="one") == pytest.approx([1, 1, 2])
    shared = weighed(con, curves, rows, num_labels="one", settings={"maturity": "global"})
    assert shared == pytest.approx([3, 3, 3])


def test_maturity_without_a_curve_of_its_own(build: Build, con: Backend) -> None:
    rows = arrived(10, [0, 0, 1, 1]) + arrived(12, [0, 1], advertiser=4)
    given = {"settings": DelaySettings(), "horizon_days": H, "days": Days(day(23), day(23))}
    curves = build(stages.delay, rows, **given)
    # Half arrives at once. Day 22 has age 0; an unknown advertiser and none have the global curve.
    assert weighed(con, curves, [(9, 22), (None, 22)]) == pytest.approx([2, 2])
    # Past the horizon, and without any curve, a day is ripe.
    assert weighed(con, curves, [(3, 1), (9, 1)]) == [1, 1]
    assert weighed(con, [], [(3, 22), (None, 22)]) == [1, 1]
    assert weighed(con, curves, [(3, 22)], settings={"maturity": "none"}) == [1]


def test_other_reporters_are_known_by_their_lags(build: Build) -> None:
    rows = (
        arrived(0, [0, 0, 1])
        + arrived(0, [1, 1, 2], advertiser=4, lag=1)
        + arrived(1, [2, 2], advertiser=5, lag=2)
        + arrived(-30, [0], advertiser=6)
    )
    made = build(
        stages.delay,
        rows,
        settings=DelaySettings(),
        horizon_days=H + 10,
        days=Days(day(5), day(5)),
    )
    assert {row["advertiser_id"]: row["segment"] for row in made if row["advertiser_id"]} == {
        3: "at_once",
        4: "daily",
        5: "slower",
        6: "silent",
    }


def test_label_maturity_of_a_day_without_any(build: Build) -> None:
    rows = arrived(0, [0, 2]) + arrived(1, [0, 2])
    given = {"settings": DelaySettings(), "horizon_days": H, "days": Days(day(5), day(5))}
    curves = build(stages.delay, rows, **given)
    by_age = {row["age_days"]: row for row in build(stages.maturity, rows, curves, **given)}
    assert set(by_age) == {0, 1, 2}
    assert by_age[0]["impression_day"] == day(5) - DAY
    assert (by_age[0]["num_conversions"], by_age[0]["expected_conversions"]) == (0, 0.0)
    assert by_age[0]["maturity"] == pytest.approx(1 / 2)
