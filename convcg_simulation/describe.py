"""Measures a world from its own truth: rates, delays, what popularity and the ceiling recall."""

import numpy as np

from convcg_assets.sources.columns import SURFACES
from convcg_simulation.catalogue import DAY_US
from convcg_simulation.ceiling import CLICK_WINDOW_DAYS, VIEW_WINDOW_DAYS, oracle_scores
from convcg_simulation.events import BY_CLICK, BY_VIEW, ORGANIC, REPIN, Day
from convcg_simulation.vocabulary import query_text
from convcg_simulation.world import World

CUTS = (10, 100, 1000)
HISTORY_DAYS = 30
CHUNK_QUERIES = 256


def measured_rates(world: World, *, days: range) -> dict[str, float]:
    """Shares and rates of some days, by name; of conversions, duplicates are left out."""
    counts: dict[str, float] = {}
    delays = []
    for number in days:
        day = world.day(number)
        shown, reports = day.impressions, day.conversions
        is_bot = world.people(number).is_bot[shown.user]
        first = ~reports.is_duplicate
        touched = first & (reports.path != ORGANIC)
        delays.append((reports.received_us - reports.touch_us)[touched] / DAY_US)
        for name, rows in {
            "impressions": np.ones(len(is_bot), dtype=bool),
            "bot impressions": is_bot,
            "returning impressions": shown.returning,
            "clicks": day.clicks.clicked,
            "human clicks": day.clicks.clicked & ~is_bot,
            "human bounces": day.clicks.bounced & ~is_bot,
            "repins": day.engagements.kind == REPIN,
            "reports": first | True,
            "duplicates": ~first,
            "conversions": first,
            "by click": first & (reports.path == BY_CLICK),
            "by view": first & (reports.path == BY_VIEW),
            "organic": first & (reports.path == ORGANIC),
            "without user": first & ~reports.user_known,
            "without Pin": first & (reports.pin < 0),
        }.items():
            counts[name] = counts.get(name, 0) + float(np.count_nonzero(rows))
    delay = np.concatenate(delays)
    humans = counts["impressions"] - counts["bot impressions"]
    return {
        "impressions a day": counts["impressions"] / len(days),
        "bot share of impressions": counts["bot impressions"] / counts["impressions"],
        "returning share of impressions": counts["returning impressions"] / counts["impressions"],
        "click-through rate": counts["clicks"] / counts["impressions"],
        "click-through rate of humans": counts["human clicks"] / humans,
        "bounce share of human clicks": counts["human bounces"] / counts["human clicks"],
        "repin rate": counts["repins"] / counts["impressions"],
        "conversions per impression": counts["conversions"] / counts["impressions"],
        "click share of conversions": counts["by click"] / counts["conversions"],
        "view share of conversions": counts["by view"] / counts["conversions"],
        "organic share of conversions": counts["organic"] / counts["conversions"],
        "duplicate share of reports": counts["duplicates"] / counts["reports"],
        "conversions without user": counts["without user"] / counts["conversions"],
        "conversions without Pin": counts["without Pin"] / counts["conversions"],
        "received within 1 day of the touch": float(np.mean(delay < 1)),
        "received within 7 days": float(np.mean(delay < 7)),
        "received within 30 days": float(np.mean(delay < 30)),
        "median days from touch to receipt": float(np.median(delay)),
    }


def measured_recall(
    world: World, *, days: range, task: str, max_queries: int = 2_000
) -> dict[str, dict[str, float]]:
    """Recall at 10, 100 and 1000 of all Pins that exist, by scorer, on the positives of some days.

    Popularity ranks by the positives of the 30 days before; the ceiling by `oracle_scores`. Keys:
    `popularity`, `ceiling`, `ceiling, homefeed lists` and so on, and `ceiling, returns` for Pins
    shown again after a click.
    """
    hits: dict[str, list[np.ndarray]] = {}
    per_day = max(1, max_queries // len(days))
    # Each day once, in order: the world remembers only the newest.
    positive_pins = {
        number: world.day(number).impressions.pin[positives(world.day(number), task)]
        for number in range(max(0, days.start - HISTORY_DAYS), days.stop)
    }
    for number in days:
        rows = positives(world.day(number), task)
        rows = rows[:: max(1, len(rows) // per_day)]
        shown = world.day(number).impressions
        num_pins = len(world.policy(number).groups[0].number)
        before = range(max(0, number - HISTORY_DAYS), number)
        past = np.concatenate([positive_pins[earlier] for earlier in before])
        popular = np.bincount(past, minlength=num_pins)[:num_pins]
        ids, pins = world.people(number).user_id, world.pins(number)
        for start in range(0, len(rows), CHUNK_QUERIES):
            row = rows[start : start + CHUNK_QUERIES]
            scores = oracle_scores(
                world,
                day=number,
                user_ids=ids[shown.user[row]].tolist(),
                surfaces=[SURFACES[surface] for surface in shown.surface[row]],
                subject_pin_ids=[
                    int(pins.pin_id[s]) if s >= 0 else None for s in shown.subject[row]
                ],
                queries=[
                    query_text(kind, colour) if surface == SURFACES.index("search") else None
                    for kind, colour, surface in zip(
                        shown.product_type[row], shown.colour[row], shown.surface[row], strict=True
                    )
                ],
                pin_ids=pins.pin_id[:num_pins].tolist(),
                task=task,
            )
            best = target_ranks(scores, shown.pin[row])
            common = target_ranks(np.broadcast_to(popular, scores.shape), shown.pin[row])
            hits.setdefault("ceiling", []).append(best)
            hits.setdefault("popularity", []).append(common)
            for surface, name in enumerate(SURFACES):
                chosen = (shown.surface[row] == surface) & ~shown.returning[row]
                hits.setdefault(f"ceiling, {name} lists", []).append(best[chosen])
            hits.setdefault("ceiling, returns", []).append(best[shown.returning[row]])
    ranks = {name: np.concatenate(parts) for name, parts in hits.items()}
    return {
        name: {"queries": len(rank)}
        | {f"recall@{k}": float(np.mean(rank <= k)) if len(rank) else float("nan") for k in CUTS}
        for name, rank in ranks.items()
    }


def positives(day: Day, task: str) -> np.ndarray:
    """Row numbers of the impressions of a day that are positives of a task, in order of time."""
    if task == "engagement":
        return np.unique(day.engagements.impression)
    reports = day.conversions
    waited_us = reports.event_us - reports.touch_us
    window_days = np.where(reports.path == BY_CLICK, CLICK_WINDOW_DAYS, VIEW_WINDOW_DAYS)
    counted = (waited_us < window_days * DAY_US) & reports.user_known & (reports.path != ORGANIC)
    ids = np.unique(reports.touch_impression_id[counted])
    order = np.argsort(day.impressions.impression_id)
    return order[np.searchsorted(day.impressions.impression_id, ids, sorter=order)]


def target_ranks(scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rank of each query's target, from 1; among equal scores the expected one."""
    own = np.take_along_axis(scores, target[:, None], axis=1)
    above, equal = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    return above + (equal + 1) / 2
