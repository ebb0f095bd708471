"""The logging policy: which ads are shown, and how likely each was.

An imperfect system, as real ones are: a mixture of what is pushed, of a stale idea of a person's
categories, of the context, and of exploration, thinned by a rough match of style. It knows nothing
of today's needs, of prices or of who sells. Every slot is filled by drawing a Pin from the mixture
and keeping it with the probability of the rough match, so that the chance of a Pin has a closed
form up to a factor of the context, which is what `ceiling.py` needs.
"""

from dataclasses import dataclass

import numpy as np

from convcg_simulation.catalogue import Pins
from convcg_simulation.geometry import Distances, row_distances
from convcg_simulation.people import Mood, People, probabilities
from convcg_simulation.vocabulary import CATEGORY_NAMES, TYPE_NAMES

HOMEFEED, RELATED, SEARCH = 0, 1, 2
TRIES = 6
_BY_CATEGORY, _BY_TYPE, _BY_ADVERTISER, _BY_PUSH, _EVENLY = range(5)
# Of a surface's proposals, the share that comes from each group.
MIXTURE = np.array(
    [
        [0.66, 0.00, 0.00, 0.22, 0.12],
        [0.46, 0.20, 0.07, 0.16, 0.11],
        [0.32, 0.40, 0.00, 0.17, 0.11],
    ],
    dtype=np.float32,
)


@dataclass(frozen=True)
class Context:
    """Where Pins are shown: arrays that broadcast against users and Pins; -1 is `none`."""

    surface: np.ndarray
    subject: np.ndarray  # Pin number
    category: np.ndarray
    product_type: np.ndarray
    colour: np.ndarray

    def rows(self, chosen: np.ndarray) -> "Context":
        """The contexts of some rows."""
        return Context(**{name: column[chosen] for name, column in vars(self).items()})


@dataclass(frozen=True)
class Group:
    """Weighted sampling of Pins within groups: `share[p]` is Pin p's share of its own group."""

    number: np.ndarray
    order: np.ndarray
    cumulative: np.ndarray
    total: np.ndarray
    before: np.ndarray
    share: np.ndarray

    def sample(self, rng: np.random.Generator, groups: np.ndarray) -> np.ndarray:
        """One Pin of each group, -1 where a group is empty."""
        mass = self.before[groups] + rng.random(len(groups)) * self.total[groups]
        place = np.searchsorted(self.cumulative, mass, side="right")
        pins = self.order[np.minimum(place, len(self.order) - 1)]
        return np.where(self.number[pins] == groups, pins, -1)


def make_group(number: np.ndarray, *, weight: np.ndarray, num_groups: int) -> Group:
    """Prepares sampling of Pins by `weight` within the groups that `number` names."""
    order = np.argsort(number, kind="stable")
    total = np.bincount(number, weights=weight, minlength=num_groups)
    return Group(
        number=number,
        order=order,
        cumulative=np.cumsum(weight[order]),
        total=total,
        before=np.concatenate([[0.0], np.cumsum(total)[:-1]]),
        share=(weight / total[number]).astype(np.float32),
    )


@dataclass(frozen=True)
class Policy:
    """The logging policy of one day over the Pins that can be shown (the first P)."""

    groups: tuple[Group, ...]
    believed: np.ndarray  # [U, C] what it believes of a person's categories
    stale: Mood  # the moods that it matches styles against, roughly


def make_policy(pins: Pins, *, num_shown: int, day: int, people: People, stale: Mood) -> Policy:
    """The policy of a day; `stale` is the mood of two weeks ago, all that it has learned so far."""
    age = day - pins.created_day[:num_shown]
    fresh = 0.5 * (age <= 5)
    weight = np.exp(pins.push[:num_shown] - age / 120 + fresh)
    category, advertiser = pins.category[:num_shown], pins.advertiser[:num_shown]
    nothing = np.zeros(num_shown, dtype=np.int64)
    groups = (
        make_group(category, weight=weight, num_groups=len(CATEGORY_NAMES)),
        make_group(pins.product_type[:num_shown], weight=weight, num_groups=len(TYPE_NAMES)),
        make_group(advertiser, weight=weight, num_groups=int(pins.advertiser.max()) + 1),
        make_group(nothing, weight=weight, num_groups=1),
        make_group(nothing, weight=np.ones(num_shown), num_groups=1),
    )
    usual = people.category_taste + 0.5 * (stale.taste - people.category_taste)
    return Policy(
        groups=groups,
        believed=probabilities(0.8 * usual).astype(np.float32),
        stale=stale,
    )


def rough_match(
    pins: Pins, *, pin: np.ndarray, context: Context, distances: Distances
) -> np.ndarray:
    """The chance that a proposed Pin is kept, in (0, 1]: a blurred match of style or colour."""
    near_user = np.exp(distances.to_stale / -14)
    asked = (context.colour < 0) | (pins.colour[pin] == context.colour)
    in_search = np.sqrt(near_user) * np.where(asked, np.float32(1), np.float32(0.3))
    match = np.where(context.surface == RELATED, np.exp(distances.to_subject / -14), near_user)
    return 0.1 + 0.9 * np.where(context.surface == SEARCH, in_search, match)


def proposal_share(
    policy: Policy, pins: Pins, *, user: np.ndarray, pin: np.ndarray, context: Context
) -> np.ndarray:
    """The probability that the mixture proposes a Pin, before thinning."""
    weight = MIXTURE[context.surface]
    by_category, by_type, by_advertiser, by_push, evenly = (g.share[pin] for g in policy.groups)
    category = pins.category[pin]
    in_category = np.where(
        context.surface == HOMEFEED, policy.believed[user, category], category == context.category
    )
    in_type = pins.product_type[pin] == context.product_type
    in_advertiser = pins.advertiser[pin] == pins.advertiser[context.subject]
    return (
        weight[..., _BY_CATEGORY] * by_category * in_category
        + weight[..., _BY_TYPE] * by_type * in_type
        + weight[..., _BY_ADVERTISER] * by_advertiser * in_advertiser
        + weight[..., _BY_PUSH] * by_push
        + weight[..., _EVENLY] * evenly
    )


def choose_pins(
    policy: Policy,
    pins: Pins,
    *,
    today: Mood,
    user: np.ndarray,
    context: Context,
    rng: np.random.Generator,
) -> np.ndarray:
    """The Pin shown in each slot (n); -1 where none of a few proposals was kept."""
    chosen = np.full(len(user), -1)
    open_slots = np.arange(len(user))
    for _ in range(TRIES):
        who, where = user[open_slots], context.rows(open_slots)
        pin = _propose(policy, pins, user=who, context=where, rng=rng)
        distances = row_distances(
            pins, today=today, stale=policy.stale, user=who, pin=pin, subject=where.subject
        )
        match = rough_match(pins, pin=pin, context=where, distances=distances)
        kept = (rng.random(len(pin)) < match) & (pin >= 0)
        chosen[open_slots[kept]] = pin[kept]
        open_slots = open_slots[~kept]
    return chosen


def _propose(policy: Policy, pins: Pins, *, user, context: Context, rng) -> np.ndarray:
    cumulative = MIXTURE.cumsum(axis=1)[context.surface]
    component = (cumulative < rng.random(len(user))[:, None]).sum(axis=1)
    component = np.minimum(component, _EVENLY)
    believed = policy.believed[user].cumsum(axis=1)
    believed = (believed < rng.random(len(user))[:, None]).sum(axis=1)
    believed = np.minimum(believed, policy.believed.shape[1] - 1)
    nothing = np.zeros(len(user), dtype=np.int64)
    wanted = (
        np.where(context.surface == HOMEFEED, believed, context.category),
        context.product_type,
        pins.advertiser[context.subject],
        nothing,
        nothing,
    )
    pin = np.full(len(user), -1)
    for number, group in enumerate(policy.groups):
        rows = np.flatnonzero(component == number)
        pin[rows] = group.sample(rng, wanted[number][rows])
    return pin
