"""The delay curve by brute force: for every T, group and delay, lists of what was known."""

import datetime as dt
import math
from collections import defaultdict

from convcg_assets.days import Days
from convcg_assets.tables.settings import DelaySettings

from .world import DAY, Row

Z = 1.959963984540054


def pieces(credited: list[Row], day: dt.date) -> list[Row]:
    """One row per (conversion, impression) with credit that had arrived before a day."""
    found = {}
    for row in credited:
        if row["status"] == "attributed" and row["dt"] < day:
            found[row["dt"], row["conversion_id"], row["impression_id"]] = row
    return list(found.values())


def cadence(known: list[Row], day: dt.date, *, settings: DelaySettings) -> dict:
    """Segment, and the weekday of the upload if weekly, by advertiser."""
    arrived = defaultdict(list)
    for row in known:
        if row["dt"] >= day - settings.cadence_days * DAY and row["advertiser_id"] is not None:
            lag = (row["dt"] - row["event_ts"].date()).days
            arrived[row["advertiser_id"]].append((row["dt"], lag))
    found = {}
    for advertiser, reports in arrived.items():
        lags = sorted(lag for _, lag in reports)
        lower_median = lags[(len(lags) - 1) // 2]
        on = defaultdict(list)
        for arrival, _ in reports:
            on[arrival.weekday()].append(arrival)
        best = min(on, key=lambda w: (-len(on[w]), w))
        is_weekly = (
            len(on[best]) >= settings.weekly_share * len(reports)
            and len(reports) >= settings.min_weekly
            and len(set(on[best])) >= 2
        )
        if lower_median <= 0:
            found[advertiser] = ("at_once", None)
        elif is_weekly:
            found[advertiser] = ("weekly", best)
        else:
            found[advertiser] = ("daily" if lower_median == 1 else "slower", None)
    return found


class Curve:
    """One group's counts and shares by delay; `pairs` holds (delay, age) of its evidence."""

    def __init__(self, pairs: list[tuple[int, int]], horizon: int) -> None:
        self.horizon, self.n = horizon, len(pairs)
        self.observed = min(max(a for _, a in pairs), horizon)
        ks = range(horizon + 1)
        self.exactly = [sum(d == k for d, _ in pairs) for k in ks]
        self.until = [sum(d <= k <= a for d, a in pairs) for k in ks]
        hazard = [e / u if u else 0.0 for e, u in zip(self.exactly, self.until, strict=True)]
        self.relative = [math.prod(1 - h for h in hazard[k + 1 :]) for k in ks]
        self.trials = [float(self.n)] * len(ks)
        for k in ks:
            v = sum(
                h / (self.until[j] * (1 - h)) for j, h in enumerate(hazard) if j > k and 0 < h < 1
            )
            if self.relative[k] > 0 and v > 0:
                f = self.relative[k]
                self.trials[k] = min((1 - f) / (f * v), self.n)
        self.own = self.share = self.relative

    def pool(self, parent: list[float], trials: list[float], *, kappa: float) -> None:
        w = self.observed
        self.own = [r * parent[w] if k <= w else parent[k] for k, r in enumerate(self.relative)]
        self.share = [
            (self.n * o + kappa * p) / (self.n + kappa)
            for o, p in zip(self.own, parent, strict=True)
        ]
        self.trials = [
            (t if k < w else 0) + min(kappa, trials[k]) for k, t in enumerate(self.trials)
        ]

    def between_uploads(self, wait: int | None) -> tuple[list[float], list[float]]:
        """The curve and its trials as one that is fed once a week, first after `wait` days."""
        if wait is None:
            return self.share, self.trials
        last = [max((u for u in range(wait, k + 1, 7)), default=None) for k in range(len(self.own))]
        shares = [0.0 if u is None else self.share[u] for u in last]
        trials = [0.0 if u is None else self.trials[u] for u in last]
        return [s / max(shares) for s in shares], trials

    def rows(self) -> list[Row]:
        rows = []
        for k, (n, p) in enumerate(zip(self.trials, self.share, strict=True)):
            root = Z * math.sqrt(n * p * (1 - p) + Z * Z / 4)
            low, high = ((n * p + Z * Z / 2 + s * root) / (n + Z * Z) for s in (-1, 1))
            rows.append(
                {
                    "delay_days": k,
                    "num_arrived": self.exactly[k],
                    "num_until": self.until[k],
                    "num_conversions": self.n,
                    "observed_days": self.observed,
                    "own_share": self.own[k],
                    "share": p,
                    "share_low": p if k == self.horizon else min(max(low, 0.0), p),
                    "share_high": p if k == self.horizon else max(min(high, 1.0), p),
                }
            )
        return rows


def curves(
    credited: list[Row],
    *,
    settings: DelaySettings,
    horizon_days: int,
    days: Days,
    reported: list[Row] | None = None,
) -> list[Row]:
    """Rows of `conversion_delay` of those days; `reported` is what had been credited at first."""
    rows = []
    for day in days:
        known = pieces(credited, day)
        reporters = cadence(
            known if reported is None else pieces(reported, day), day, settings=settings
        )
        first = day - (horizon_days + settings.estimation_days) * DAY
        groups = defaultdict(list)
        for row in known:
            shown = row["impression_day"]
            if shown < first:
                continue
            pair = ((row["dt"] - shown).days, (day - shown).days - 1)
            groups["global", None, None, None, None].append(pair)
            advertiser = row["advertiser_id"]
            if advertiser is None:
                continue
            segment, upload = reporters.get(advertiser, ("silent", None))
            wait = None if upload is None else (upload - shown.weekday()) % 7
            weekday = None if upload is None else shown.weekday()
            groups["segment", segment, None, None, wait].append(pair)
            groups["advertiser", segment, advertiser, weekday, wait].append(pair)
        made = {key: Curve(pairs, horizon_days) for key, pairs in groups.items()}
        for key, curve in made.items():
            if key[0] == "segment":
                parent = made["global", None, None, None, None].between_uploads(key[4])
                curve.pool(*parent, kappa=settings.segment_kappa)
        for key, curve in made.items():
            if key[0] == "advertiser":
                parent = made["segment", key[1], None, None, key[4]]
                curve.pool(parent.share, parent.trials, kappa=settings.advertiser_kappa)
        names = ("level", "segment", "advertiser_id", "weekday", "upload_in_days")
        for key, curve in made.items():
            rows += [{"dt": day, **dict(zip(names, key, strict=True)), **r} for r in curve.rows()]
    return rows


def maturity_of(
    advertiser,
    shown: dt.date,
    curves: list[Row],
    *,
    as_of: dt.date,
    settings: DelaySettings,
    num_days: int = 1,
    ages: range = range(1000),
) -> float:
    """Mean share of the ages that share a factor with an impression day's."""
    if settings.maturity == "none":
        return 1.0
    age = (as_of - shown).days - 1
    shares = []
    begin = ages.index(age) // num_days * num_days
    week = ages[begin : begin + num_days]
    for k in week:
        weekday = (as_of - (k + 1) * DAY).weekday()
        at = [row for row in curves if row["dt"] == as_of and row["delay_days"] == k]
        own = [
            row["share"]
            for row in at
            if settings.maturity == "advertiser"
            and row["level"] == "advertiser"
            and row["advertiser_id"] == advertiser
            and row["weekday"] in (None, weekday)
        ]
        overall = [row["share"] for row in at if row["level"] == "global"]
        shares.append((own or overall or [1.0])[0])
    return sum(shares) / len(shares)


def maturities(
    credited: list[Row],
    curves: list[Row],
    *,
    settings: DelaySettings,
    horizon_days: int,
    days: Days,
) -> list[Row]:
    """Rows of `label_maturity` of those days."""
    rows = []
    most = settings.max_maturity_factor
    for day in days:
        known = pieces(credited, day)
        for k in range(1, horizon_days + 1):
            shown, weighted = day - k * DAY, 0.0
            mine = [row for row in known if row["impression_day"] == shown]
            given = {"as_of": day, "settings": settings.model_copy(update={"maturity": "global"})}
            share = maturity_of(None, shown, curves, **given)
            for row in mine:
                own = settings.model_copy(update={"maturity": "advertiser"})
                f = maturity_of(row["advertiser_id"], shown, curves, as_of=day, settings=own)
                weighted += min(1 / f, most) if f else most
            rows.append(
                {
                    "dt": day,
                    "impression_day": shown,
                    "age_days": k - 1,
                    "num_conversions": len(mine),
                    "maturity": share,
                    "expected_conversions": len(mine) / (share or 1 / most),
                    "weighted_conversions": weighted,
                }
            )
    return rows
