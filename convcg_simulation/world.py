"""A simulated world: any day of it, on demand, the same whichever days were asked for before.

The logs that it makes belong to `arrivals.py`.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from convcg_simulation.advertisers import make_advertisers
from convcg_simulation.catalogue import DAY_US, Pins, make_pins, make_shapes, stacked
from convcg_simulation.config import WorldConfig
from convcg_simulation.conversions import (
    Purchases,
    draw_organic_purchases,
    draw_purchases,
    report_purchases,
)
from convcg_simulation.engagement import draw_clicks, draw_engagements
from convcg_simulation.events import Clicks, Conversions, Day, Impressions
from convcg_simulation.exposure import (
    RETURN_DAYS,
    PastClicks,
    listed_impressions,
    returning_impressions,
)
from convcg_simulation.outcomes import Fit, Scene, row_fit
from convcg_simulation.people import People, make_people, mood
from convcg_simulation.policy import Policy, make_policy
from convcg_simulation.randomness import generator
from convcg_simulation.sessions import make_sessions

POLICY_LAG_DAYS = 14
Made = TypeVar("Made")


class World:
    """The world of one config. Days are numbered from 0; there is no last one."""

    def __init__(self, config: WorldConfig):
        self.config = config
        self.shapes = make_shapes(config.seed)
        self.advertisers = make_advertisers(config.seed, num_advertisers=config.num_advertisers)
        self._recent: OrderedDict[tuple[str, int], object] = OrderedDict()
        # Small per day, and asked for again on up to fifty later days.
        self._past_clicks: dict[int, PastClicks] = {}
        self._conversions: dict[int, Conversions] = {}

    def midnight_us(self, day: int) -> int:
        """Start of a day, in microseconds since the epoch."""
        return int(np.datetime64(self.config.first_day, "us").astype(np.int64)) + day * DAY_US

    def scene(self, day: int) -> Scene:
        """Everything that decides the outcomes of a day, Pins and users of the day included."""
        return self._remembered("scene", day, self._make_scene)

    def policy(self, day: int) -> Policy:
        """The logging policy of a day; a Pin is shown from the day after its creation."""
        return self._remembered("policy", day, self._make_policy)

    def day(self, day: int) -> Day:
        """Everything that begins on a day."""
        return self._remembered("day", day, self._make_day)

    def past_clicks(self, day: int) -> PastClicks:
        """The clicks in a day's lists that may come back later."""
        if day not in self._past_clicks:
            impressions, clicks = self._remembered("listed", day, self._make_listed)
            scene = self.scene(day)
            back = clicks.clicked & ~clicks.bounced & ~scene.people.is_bot[impressions.user]
            self._past_clicks[day] = PastClicks(
                user=impressions.user[back], pin=impressions.pin[back]
            )
        return self._past_clicks[day]

    def conversions(self, day: int) -> Conversions:
        """The reports, whenever received, of purchases whose touch was on a day."""
        if day not in self._conversions:
            self._conversions[day] = self.day(day).conversions
        return self._conversions[day]

    def pins(self, day: int) -> Pins:
        """All Pins that exist at the end of a day, in the same order on every day."""
        return self._remembered("pins", day, self._make_pins)

    def people(self, day: int) -> People:
        """All users that exist at the end of a day, in the same order on every day."""
        return self._remembered("people", day, self._make_people)

    def batch_of_pins(self, day: int) -> Pins:
        """The Pins created on a day; on day 0 the stock."""
        config = self.config
        return make_pins(
            config.seed,
            day=day,
            num_pins=config.num_pins if day == 0 else config.new_pins_per_day,
            first_number=0 if day == 0 else config.num_pins + (day - 1) * config.new_pins_per_day,
            first_day=config.first_day,
            shapes=self.shapes,
            advertisers=self.advertisers,
        )

    def _make_pins(self, day: int) -> Pins:
        earlier = self._recent.get(("pins", day - 1))
        if isinstance(earlier, Pins):
            return stacked([earlier, self.batch_of_pins(day)])
        return stacked([self.batch_of_pins(number) for number in range(day + 1)])

    def _make_people(self, day: int) -> People:
        earlier = self._recent.get(("people", day - 1))
        days = [day] if isinstance(earlier, People) else range(day + 1)
        config = self.config
        batches = [earlier] if isinstance(earlier, People) else []
        for number in days:
            first = 0 if number == 0 else config.num_users + (number - 1) * config.new_users_per_day
            batch = make_people(
                config.seed,
                day=number,
                num_users=config.num_users if number == 0 else config.new_users_per_day,
                first_number=first,
                first_day=config.first_day,
                bot_share=config.bot_share,
            )
            batches.append(batch)
        return stacked(batches)

    def _make_scene(self, day: int) -> Scene:
        people = self.people(day)
        return Scene(
            people=people,
            mood=mood(people, seed=self.config.seed, day=day, shapes=self.shapes),
            pins=self.pins(day),
            shapes=self.shapes,
            advertisers=self.advertisers,
        )

    def _make_policy(self, day: int) -> Policy:
        scene = self.scene(day)
        stale_day = day - POLICY_LAG_DAYS
        stale = mood(scene.people, seed=self.config.seed, day=stale_day, shapes=self.shapes)
        created_before = int(np.count_nonzero(scene.pins.created_day < max(day, 0)))
        return make_policy(
            scene.pins, num_shown=created_before, day=day, people=scene.people, stale=stale
        )

    def _make_listed(self, day: int) -> tuple[Impressions, Clicks]:
        config, scene, policy = self.config, self.scene(day), self.policy(day)
        rng = generator(config.seed, purpose="sessions", day=day)
        sessions = make_sessions(config, day=day, scene=scene, policy=policy, rng=rng)
        impressions = listed_impressions(
            sessions,
            pins=scene.pins,
            today=scene.mood,
            policy=policy,
            day=day,
            late_share=config.late_share,
            rng=generator(config.seed, purpose="lists", day=day),
        )
        rng = generator(config.seed, purpose="clicks", day=day)
        match = _match(scene, policy, impressions)
        return impressions, draw_clicks(scene, impressions=impressions, match=match, rng=rng)

    def _make_day(self, day: int) -> Day:
        config, scene, policy = self.config, self.scene(day), self.policy(day)
        listed, listed_clicks = self._remembered("listed", day, self._make_listed)
        rng = generator(config.seed, purpose="returns", day=day)
        back = returning_impressions(
            {k: self.past_clicks(day - k) for k in range(1, min(RETURN_DAYS, day) + 1)},
            day=day,
            midnight_us=self.midnight_us(day),
            late_share=config.late_share,
            rng=rng,
        )
        back_clicks = draw_clicks(
            scene, impressions=back, match=_match(scene, policy, back), rng=rng
        )
        impressions = stacked([listed, back])
        clicks = stacked([listed_clicks, back_clicks])
        match = _match(scene, policy, impressions)
        engagements = draw_engagements(
            scene,
            impressions=impressions,
            clicks=clicks,
            match=match,
            day=day,
            rng=generator(config.seed, purpose="engagements", day=day),
        )
        rng = generator(config.seed, purpose="purchases", day=day)
        led = draw_purchases(scene, impressions=impressions, clicks=clicks, match=match, rng=rng)
        organic = draw_organic_purchases(
            scene,
            policy=policy,
            expected=config.organic_rate * len(impressions.user),
            midnight_us=self.midnight_us(day),
            rng=rng,
        )
        purchases: Purchases = stacked([led, organic])
        conversions = report_purchases(purchases, scene=scene, policy=policy, day=day, rng=rng)
        self._conversions[day] = conversions
        return Day(impressions, clicks, engagements, conversions)

    def _remembered(self, kind: str, day: int, make: Callable[[int], Made]) -> Made:
        if day < 0:
            raise ValueError(f"day {day} is before the world's first day; days start at 0")
        if (kind, day) not in self._recent:
            self._recent[kind, day] = make(day)
            while len(self._recent) > 24:
                self._recent.popitem(last=False)
        self._recent.move_to_end((kind, day))
        return self._recent[kind, day]  # pyright: ignore[reportReturnType]


def _match(scene: Scene, policy: Policy, impressions: Impressions) -> Fit:
    user, pin, context = impressions.user, impressions.pin, impressions.context
    return row_fit(scene, policy, user=user, pin=pin, context=context)
