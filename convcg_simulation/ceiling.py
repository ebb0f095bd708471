"""The best that anyone could do on the world's data, in expectation.

For a query (a user, a surface, a subject Pin or search text, on a day) the score of a Pin is
proportional to the probability that a logged positive of that query's context is this Pin:

    expected number of showings of the Pin in this context  x  P(positive | shown)

summed over the two ways to be shown: in a list, by the logging policy, and again after a click.
Ranking by it maximises expected recall at every k. What it knows and no model can: the tastes,
needs and budgets of the day, the Pins' latents, the policy. What it leaves to chance, because no
one could know it: the draws themselves. Approximations: the position is averaged out, a Pin drawn
twice for one list counts twice, purchases credited to another touch than their own are ignored.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from convcg_assets.sources.columns import SURFACES, TASKS
from convcg_simulation.advertisers import make_advertisers
from convcg_simulation.delays import LONGEST_DELAY_DAYS, LONGEST_LAG_DAYS, arrived_share
from convcg_simulation.exposure import RETURN_DAYS, return_rate
from convcg_simulation.geometry import grid_distances
from convcg_simulation.outcomes import (
    MEAN_POSITION,
    bounce_rate,
    click_rate,
    close_up_rate,
    fit,
    purchase_rate,
    repin_rate,
    view_purchase_rate,
)
from convcg_simulation.policy import Context, proposal_share, rough_match
from convcg_simulation.sessions import (
    FILLED_SHARE,
    MEAN_SLOTS,
    SURFACE_SHARES,
    sessions_expected,
    visit_shares,
)
from convcg_simulation.vocabulary import TYPES_PER_CATEGORY, query_context
from convcg_simulation.world import World

CLICK_WINDOW_DAYS, VIEW_WINDOW_DAYS = 30, 1
CHUNK_ROWS = 32


def oracle_scores(
    world: World,
    *,
    day: int,
    user_ids: Sequence[int],
    surfaces: Sequence[str],
    subject_pin_ids: Sequence[int | None],
    queries: Sequence[str | None],
    pin_ids: Sequence[int],
    task: str = "conversion",
    age_days: int | None = None,
) -> np.ndarray:
    """Scores [num_queries, num_pins]; higher is better, -inf for a Pin that cannot be shown.

    Args:
        world: the world that the queries were logged in.
        day: the day of the queries' impressions.
        user_ids: who, one per query.
        surfaces: one per query, of `columns.SURFACES`.
        subject_pin_ids: the subject Pin of a Related Pins query, else None.
        queries: the text of a search, else None.
        pin_ids: the candidates.
        task: `conversion` (purchases that windows of 30 days after a click and 1 day after a view
            attribute, from advertisers' reports that name the user) or `engagement` (any click,
            repin or close-up).
        age_days: count only conversions reported at most this many days after `day`; None counts
            all. Labels a few days old hold mostly fast advertisers, and the ceiling with them.

    Raises:
        ValueError: an unknown task, surface or user.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r} is unknown; it is one of {', '.join(TASKS)}")
    column_of = {pin_id: number for number, pin_id in enumerate(world.pins(day).pin_id.tolist())}
    wanted = np.array([column_of.get(pin_id, -1) for pin_id in pin_ids], dtype=np.int64)
    user, context = _queries(world, day, user_ids, surfaces, subject_pin_ids, queries, column_of)
    num_shown = len(world.policy(day).groups[0].number)
    answered = (wanted >= 0) & (wanted < num_shown)
    scores = np.full((len(user), len(wanted)), -np.inf, dtype=np.float32)
    factors = _report_factors(
        world.config.seed, num_advertisers=world.config.num_advertisers, age_days=age_days
    )
    for start in range(0, len(user), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        part = _scores(
            world, day, user[rows], context.rows(np.arange(len(user))[rows]), task, factors
        )
        scores[rows, answered] = part[:, wanted[answered]]
    return scores


def _scores(world, day: int, user: np.ndarray, where: Context, task: str, factors) -> np.ndarray:
    scene, policy = world.scene(day), world.policy(day)
    num_shown = len(policy.groups[0].number)
    pin, who = np.arange(num_shown)[None, :], user[:, None]
    context = Context(**{name: column[:, None] for name, column in vars(where).items()})
    distances = grid_distances(
        scene.pins,
        num_shown=num_shown,
        today=scene.mood,
        stale=policy.stale,
        user=user,
        subject=where.subject,
    )
    match = fit(scene, user=who, pin=pin, context=context, distances=distances)
    shown = proposal_share(policy, scene.pins, user=who, pin=pin, context=context)
    shown = shown * rough_match(scene.pins, pin=pin, context=context, distances=distances)
    shown *= pin != context.subject
    shown /= shown.sum(axis=1, keepdims=True)
    num_users = len(scene.people.user_id)
    visits = sessions_expected(world.config, day=day) * visit_shares(scene, num_users=num_users)
    slots = visits[user] * np.array(SURFACE_SHARES)[where.surface] * MEAN_SLOTS * FILLED_SHARE

    def positive(returning: bool) -> np.ndarray:
        clicked = click_rate(
            scene,
            user=who,
            pin=pin,
            context=context,
            match=match,
            position=MEAN_POSITION,
            returning=returning,
        )
        if task == "engagement":
            repinned = clicked * repin_rate(scene, user=who, match=match, clicked=1)
            repinned += (1 - clicked) * repin_rate(scene, user=who, match=match, clicked=0)
            enlarged = close_up_rate(scene, user=who, match=match)
            return 1 - (1 - clicked) * (1 - repinned) * (1 - enlarged)
        bought = purchase_rate(scene, user=who, pin=pin, match=match, returning=returning)
        by_view = view_purchase_rate(scene, pin=pin, after_click=bought)
        by_click = (1 - bounce_rate(scene, pin=pin)) * bought
        click_factor, view_factor = (factor[scene.pins.advertiser[pin]] for factor in factors)
        return clicked * by_click * click_factor + (1 - clicked) * by_view * view_factor

    scores = slots[:, None].astype(np.float32) * shown * positive(returning=False)
    row, column, rate = _returns(world, day, user, where)
    if len(row):
        again = positive(returning=True)
        np.add.at(scores, (row, column), rate * again[row, column])
    return scores


def _returns(world, day: int, user: np.ndarray, where: Context):
    """(query, Pin, expected showings) of the Pins that may come back, in the Homefeed only."""
    parts = []
    for days_ago in range(1, min(RETURN_DAYS, day) + 1):
        clicks = world.past_clicks(day - days_ago)
        row, click = np.nonzero((user[:, None] == clicks.user) & (where.surface[:, None] == 0))
        parts.append((row, clicks.pin[click], np.full(len(row), return_rate(days_ago))))
    if not parts:
        return np.empty(0, int), np.empty(0, int), np.empty(0)
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _queries(world, day, user_ids, surfaces, subject_pin_ids, queries, column_of):
    number_of = {user: number for number, user in enumerate(world.people(day).user_id.tolist())}
    unknown = [user for user in user_ids if user not in number_of]
    if unknown:
        raise ValueError(f"users unknown on day {day}: {unknown[:5]}; ids are those of the logs")
    strange = sorted(set(surfaces) - set(SURFACES))
    if strange:
        raise ValueError(f"surfaces {strange} are unknown; they are {', '.join(SURFACES)}")
    pins = world.pins(day)
    surface = np.array([SURFACES.index(name) for name in surfaces], dtype=np.int64)
    subject = np.array([column_of.get(pin, -1) for pin in subject_pin_ids], dtype=np.int64)
    asked = np.array([query_context(text) for text in queries], dtype=np.int64).reshape(-1, 2)
    product_type = np.where(subject >= 0, pins.product_type[subject], asked[:, 0])
    category = np.where(product_type >= 0, product_type // TYPES_PER_CATEGORY, -1)
    user = np.array([number_of[user] for user in user_ids], dtype=np.int64)
    return user, Context(surface, subject, category, product_type, asked[:, 1])


@lru_cache(maxsize=64)
def _report_factors(
    seed: int, *, num_advertisers: int, age_days: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """By advertiser: share of purchases that end as a label, after clicks and after views."""
    advertisers = make_advertisers(seed, num_advertisers=num_advertisers)
    longest = LONGEST_DELAY_DAYS + LONGEST_LAG_DAYS + 1
    age = longest if age_days is None else min(age_days, longest)
    after_click, after_view = (
        arrived_share(advertisers, window_days=window, age_days=age, seed=seed)
        for window in (CLICK_WINDOW_DAYS, VIEW_WINDOW_DAYS)
    )
    known = (1 - advertisers.unknown_user_share).astype(np.float32)
    return known * after_click, known * after_view
