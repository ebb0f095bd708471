"""What happens in a small world: rates, delays, duplicates, bots, and its ceiling."""

from datetime import date

import numpy as np
import pytest

from convcg_simulation import World, WorldConfig
from convcg_simulation.advertisers import NIGHTLY, REALTIME, WEEKLY
from convcg_simulation.arrivals import conversion_log
from convcg_simulation.catalogue import DAY_US
from convcg_simulation.ceiling import oracle_scores
from convcg_simulation.conversions import ADD_TO_CART, CHECKOUT
from convcg_simulation.describe import measured_rates, measured_recall, target_ranks
from convcg_simulation.events import BY_CLICK, BY_VIEW, ORGANIC, Conversions
from convcg_simulation.geometry import grid_distances
from convcg_simulation.policy import RELATED, choose_pins, proposal_share, rough_match

HOUR_US = DAY_US // 24
DAYS = range(12)
CONFIG = WorldConfig(
    seed=11,
    first_day=date(2026, 3, 2),
    impressions_per_day=8_000,
    num_users=1_200,
    num_pins=4_000,
    num_advertisers=60,
    bot_share=0.01,
)


@pytest.fixture(scope="module")
def world() -> World:
    return World(CONFIG)


@pytest.fixture(scope="module")
def reports(world) -> Conversions:
    parts = [world.conversions(day) for day in DAYS]
    return Conversions(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    )


def test_rates_are_realistic(world):
    rates = measured_rates(world, days=range(5, 12))
    assert 0.03 < rates["click-through rate of humans"] < 0.06
    assert 0.005 < rates["repin rate"] < 0.02
    assert 0.004 < rates["conversions per impression"] < 0.012
    assert 0.05 < rates["duplicate share of reports"] < 0.3
    assert 0.1 < rates["view share of conversions"] < 0.35
    assert rates["conversions without user"] > 0.03


def test_conversions_come_after_their_touch(reports):
    touched = reports.path != ORGANIC
    assert touched.sum() > 300
    assert np.all(reports.event_us[touched] > reports.touch_us[touched])
    assert np.all(reports.received_us > reports.event_us)
    first = ~reports.is_duplicate
    assert np.all(reports.received_us[first] - reports.event_us[first] <= 7 * DAY_US)


def test_duplicates_carry_the_event_id_and_come_within_48_hours(world, reports):
    assert reports.is_duplicate.sum() > 20
    first = {
        (day, number): received
        for day in DAYS
        for number, received, again in zip(
            world.conversions(day).event_number.tolist(),
            world.conversions(day).received_us.tolist(),
            world.conversions(day).is_duplicate.tolist(),
            strict=True,
        )
        if not again
    }
    crossings = 0
    for day in DAYS:
        part = world.conversions(day)
        for row in np.flatnonzero(part.is_duplicate):
            number, received = int(part.event_number[row]), int(part.received_us[row])
            assert number >= 0
            assert 0 < received - first[day, number] <= 48 * HOUR_US
            crossings += received // DAY_US > first[day, number] // DAY_US
    assert crossings > 0


def test_delay_is_the_advertisers(world, reports):
    advertisers = world.advertisers
    touched = (reports.path != ORGANIC) & ~reports.is_duplicate
    hours = (reports.event_us - reports.touch_us)[touched] / HOUR_US
    profile = advertisers.delay_profile[reports.advertiser[touched]]
    medians = [np.median(hours[profile == kind]) for kind in (0, 1, 2)]
    assert medians[0] < 3
    assert 8 * medians[0] < medians[1] < medians[2]


def test_reports_come_at_once_or_by_upload(world, reports):
    kind = world.advertisers.reporting[reports.advertiser]
    lag = np.where(reports.is_duplicate, 0, reports.received_us - reports.event_us)
    assert lag[kind == REALTIME].max() <= 6 * HOUR_US
    assert lag[kind == NIGHTLY].max() <= DAY_US
    assert DAY_US < lag[kind == WEEKLY].max() <= 7 * DAY_US
    weekly = (kind == WEEKLY) & ~reports.is_duplicate
    # The epoch began on a Thursday, day 3 of the week.
    weekday = (reports.received_us[weekly] // DAY_US + 3) % 7
    assert np.array_equal(weekday, world.advertisers.upload_weekday[reports.advertiser[weekly]])


def test_every_report_is_received_on_exactly_one_day():
    # One touch day's reports, found again in the logs of all days that they can arrive on.
    config = CONFIG.model_copy(update={"impressions_per_day": 500, "num_users": 100})
    world = World(config)
    ids = set(world.conversions(0).conversion_id.tolist())
    arrived = [
        identity
        for day in range(51)
        for identity in conversion_log(world, day)["conversion_id"].to_pylist()
        if identity in ids
    ]
    assert sorted(arrived) == sorted(ids)


def test_bots_look_much_and_buy_nothing(world):
    for day in (3, 4):
        events, is_bot = world.day(day), world.people(day).is_bot
        bots = is_bot[events.impressions.user]
        clicked = events.clicks.clicked
        assert clicked[bots].mean() > 3 * clicked[~bots].mean()
        assert events.clicks.dwell_s[clicked & bots].max() <= 1.5
        assert not is_bot[events.conversions.user].any()


def test_bait_is_clicked_and_dull_pins_sell(world):
    shown = {"bait": 0, "dull": 0, "plain": 0}
    clicked, bought = dict(shown), dict(shown)
    for day in DAYS:
        events, pins = world.day(day), world.pins(day)
        reports = events.conversions
        chosen = np.isin(reports.path, (BY_CLICK, BY_VIEW)) & ~reports.is_duplicate
        buyers = np.isin(events.impressions.impression_id, reports.touch_impression_id[chosen])
        pin = events.impressions.pin
        is_bait, is_dull = pins.is_bait[pin], pins.is_dull[pin]
        for kind, rows in (("bait", is_bait), ("dull", is_dull), ("plain", ~is_bait & ~is_dull)):
            shown[kind] += int(rows.sum())
            clicked[kind] += int((rows & events.clicks.clicked).sum())
            bought[kind] += int((rows & buyers).sum())
    assert clicked["bait"] / shown["bait"] > 1.5 * clicked["plain"] / shown["plain"]
    assert clicked["dull"] / shown["dull"] < 0.7 * clicked["plain"] / shown["plain"]
    assert bought["bait"] / shown["bait"] < 0.2 * bought["plain"] / shown["plain"]
    assert bought["dull"] / clicked["dull"] > 1.5 * bought["plain"] / clicked["plain"]


def test_carts_come_before_checkouts_of_the_same_touch(reports):
    first = ~reports.is_duplicate & (reports.path != ORGANIC)
    paid = {
        int(i): int(t)
        for i, t in zip(
            reports.touch_impression_id[first & (reports.event_name == CHECKOUT)],
            reports.event_us[first & (reports.event_name == CHECKOUT)],
            strict=True,
        )
    }
    carts = first & (reports.event_name == ADD_TO_CART)
    before = [
        int(when) <= paid[int(impression)]
        for impression, when in zip(
            reports.touch_impression_id[carts], reports.event_us[carts], strict=True
        )
        if int(impression) in paid
    ]
    assert len(before) > 20
    assert all(before)


def test_related_lists_resemble_their_subject(world):
    shown, pins = world.day(3).impressions, world.pins(3)
    related = shown.surface == RELATED
    same = pins.category[shown.pin] == pins.category[shown.subject]
    assert same[related].mean() > 0.6
    assert np.all(shown.pin[related] != shown.subject[related])


def test_the_ceiling_beats_popularity_on_its_own_data(world):
    for task in ("conversion", "engagement"):
        recall = measured_recall(world, days=range(8, 12), task=task, max_queries=400)
        assert recall["ceiling"]["recall@100"] > 2 * recall["popularity"]["recall@100"]
        assert recall["ceiling"]["recall@10"] > 2 * recall["popularity"]["recall@10"]


def test_the_policy_shows_pins_as_often_as_its_closed_form_says(world):
    # One context drawn many times, against the shares that the ceiling is built on.
    scene, policy = world.scene(5), world.policy(5)
    shown = world.day(5).impressions
    row = int(np.flatnonzero(shown.surface == RELATED)[0])
    draws = 60_000
    repeated = shown.context.rows(np.full(draws, row))
    user = np.full(draws, shown.user[row])
    pin = choose_pins(
        policy,
        scene.pins,
        today=scene.mood,
        user=user,
        context=repeated,
        rng=np.random.default_rng(0),
    )
    num_shown = len(policy.groups[0].number)
    counts = np.bincount(pin[pin >= 0], minlength=num_shown)
    one = shown.context.rows(np.array([row]))
    distances = grid_distances(
        scene.pins,
        num_shown=num_shown,
        today=scene.mood,
        stale=policy.stale,
        user=user[:1],
        subject=one.subject,
    )
    every = np.arange(num_shown)
    share = proposal_share(policy, scene.pins, user=user[:1], pin=every, context=one)
    share = share * rough_match(scene.pins, pin=every, context=one, distances=distances)[0]
    expected = share / share.sum() * counts.sum()
    common = expected > 50
    assert common.sum() > 20
    deviation = (counts[common] - expected[common]) / np.sqrt(expected[common])
    assert np.sqrt(np.mean(deviation**2)) < 1.3


def test_ceiling_refuses_what_it_does_not_know(world):
    query = {"surfaces": ["homefeed"], "subject_pin_ids": [None], "queries": [None], "pin_ids": [1]}
    with pytest.raises(ValueError, match="users unknown on day 3"):
        oracle_scores(world, day=3, user_ids=[5], **query)
    user = [int(world.people(3).user_id[0])]
    with pytest.raises(ValueError, match="task 'click' is unknown"):
        oracle_scores(world, day=3, user_ids=user, task="click", **query)
    assert oracle_scores(world, day=3, user_ids=user, **query)[0, 0] == -np.inf


def test_young_labels_favour_fast_advertisers(world):
    shown, pins = world.day(8).impressions, world.pins(8)
    user = np.unique(shown.user[~world.people(8).is_bot[shown.user]])[:20]
    num_shown = len(world.policy(8).groups[0].number)
    mass = []
    for age_days in (0, None):
        scores = oracle_scores(
            world,
            day=8,
            user_ids=world.people(8).user_id[user].tolist(),
            surfaces=["homefeed"] * len(user),
            subject_pin_ids=[None] * len(user),
            queries=[None] * len(user),
            pin_ids=pins.pin_id[:num_shown].tolist(),
            age_days=age_days,
        )
        fast = world.advertisers.delay_profile[pins.advertiser[:num_shown]] == 0
        mass.append(scores[:, fast].sum() / scores.sum())
    assert mass[0] > 1.2 * mass[1]


def test_target_ranks_share_ties():
    scores = np.array([[3.0, 1.0, 1.0, 0.0]])
    assert target_ranks(scores, np.array([1]))[0] == 1 + 1 + 1 / 2
