"""Training examples by brute force: for every T, what had arrived by the cutoff of its split.

And the features that all T share, of every impression that any of them may ask for.
"""

import datetime as dt
from collections import defaultdict

from convcg_assets.days import Days
from convcg_assets.tables.settings import DelaySettings, ExampleSettings
from convcg_assets.tables.training_examples import COLUMNS as TRAINING_EXAMPLES

from .oracle_attribution import LEVEL_ORDER, TYPE_ORDER
from .oracle_delay import maturity_of
from .oracle_labels import IMPRESSION_COLUMNS
from .oracle_persons import IdsOf, alone
from .world import DAY, Row, World

SEEN_DAYS = 30
SIDES = (("user", "user_features", "user_id"), ("pin", "pin_features", "pin_id"))


def examples(
    world: World,
    derived: dict[str, list[Row]],
    *,
    settings: ExampleSettings,
    delay: DelaySettings,
    days: Days,
    known_before: dt.date | None = None,
    ids_of: IdsOf = alone,
) -> list[Row]:
    """Rows of `training_examples` of those days."""
    rows = []
    for day in days:
        positives = _positives(
            derived["weighted_labels"], day, settings=settings, known_before=known_before
        )
        _weigh(positives, derived["conversion_delay"], settings=settings, delay=delay)
        rows += positives
        rows += _negatives(derived, day, settings=settings, ids_of=ids_of)
    return _with_features(rows, world, derived, ids_of=ids_of)


def example_features(
    world: World, derived: dict[str, list[Row]], *, days: Days, ids_of: IdsOf = alone
) -> list[Row]:
    """Rows of `example_features` of those impression days."""
    known = defaultdict(list)
    for row in derived["weighted_labels"]:
        if row["weight"] > 0:
            known[row["dt"], row["impression_id"]].append(
                (row, max(row["impression_dt"], newest(row)))
            )
    for row in derived["hard_negatives"]:
        known[row["dt"], row["impression_id"]].append((row, row["impression_dt"]))
    rows = [
        {
            **{name: found[0][0][name] for name in ("impression_id", "user_id", "pin_id")},
            "example_day": day,
            "known_dt": min(since for _, since in found),
        }
        for (day, _), found in known.items()
        if day in days
    ]
    completed = _with_features(rows, world, derived, ids_of=ids_of)
    return [{"dt": row.pop("example_day"), **row} for row in completed]


def _with_features(
    rows: list[Row], world: World, derived: dict[str, list[Row]], *, ids_of: IdsOf
) -> list[Row]:
    events = [*world.impressions, *world.engagements, *derived["attributed_conversions"]]
    seen = {
        (row["user_id"], row[pin], row["dt"])
        for row in events
        for pin in ("pin_id", "touch_pin_id")
        if pin in row
    }
    features = {
        side: {(row["dt"], row[key]): row for row in derived[table]} for side, table, key in SIDES
    }
    return [_complete(row, seen, features, ids_of=ids_of) for row in rows]


def _split_of(row: Row, day: dt.date, *, settings: ExampleSettings) -> tuple[str, dt.date] | None:
    """Split and cutoff of an impression day as T sees it; None outside its days."""
    age = (day - row["dt"]).days
    if 1 <= age <= settings.holdout_days:
        return "holdout", day
    if settings.holdout_days < age <= settings.holdout_days + settings.training_days:
        return "train", day - settings.holdout_days * DAY
    return None


def is_known(label: Row, day: dt.date) -> bool:
    """Whether all that a label rests on had arrived before a day, and nothing that ends it."""
    has_ended = label["until_dt"] is not None and label["until_dt"] < day
    return max(label["impression_dt"], newest(label)) < day and not has_ended


def newest(label: Row) -> dt.date:
    """Arrival day of the newest that a label's evidence rests on."""
    return label["evidence_dt"] if label["since_dt"] is None else label["since_dt"]


def _weigh(
    rows: list[Row], curves: list[Row], *, settings: ExampleSettings, delay: DelaySettings
) -> None:
    """Adds what labels stand for to the positives of one T."""
    most = delay.max_maturity_factor

    def window(row: Row) -> range:
        """The ages of all days of the split, on the day before which its labels are known."""
        if row["split"] == "train":
            return range(settings.training_days)
        waited = (row["as_of"] - row["dt"]).days
        return range(waited, waited + settings.holdout_days)

    def stands_for(row: Row, delay: DelaySettings) -> float:
        week = maturity_of(
            row["advertiser_id"],
            row["example_day"],
            curves,
            as_of=row["as_of"],
            settings=delay,
            num_days=delay.maturity_days,
            ages=window(row),
        )
        return min(1 / week, most) if week else most

    weeks = defaultdict(list)
    for row in rows:
        row["maturity"] = row["maturity_factor"] = 1.0
        if row["task"] == "conversion":
            place = {"as_of": row["as_of"], "settings": delay}
            row["maturity"] = maturity_of(row["advertiser_id"], row["example_day"], curves, **place)
            row["maturity_factor"] = stands_for(row, delay)
            age = (row["as_of"] - row["example_day"]).days - 1
            weeks[row["split"], window(row).index(age) // delay.maturity_days].append(row)
    for week in weeks.values() if delay.maturity == "advertiser" else ():
        by_all = delay.model_copy(update={"maturity": "global"})
        expected = sum(stands_for(row, by_all) for row in week)
        scale = max(1.0, expected / sum(row["maturity_factor"] for row in week))
        for row in week:
            row["maturity_factor"] = min(scale * row["maturity_factor"], most)
    for row in rows:
        del row["as_of"]
        row["weight"] = row["label_weight"] * row["maturity_factor"]


def _positives(
    labels: list[Row], day: dt.date, *, settings: ExampleSettings, known_before: dt.date | None
) -> list[Row]:
    groups = defaultdict(list)
    for row in labels:
        split, as_of = _split_of(row, day, settings=settings) or (None, None)
        if split == "holdout" and known_before is not None:
            as_of = known_before
        if as_of and row["weight"] > 0 and is_known(row, as_of):
            groups[split, as_of, row["impression_id"], row["task"]].append(row)
    rows = []
    for (split, as_of, _, task), evidence in groups.items():
        # Of several touches the strongest type: click, engagement, view.
        types = [row["touch_type"] for row in evidence if row["touch_type"] is not None]
        levels = [row["match_level"] for row in evidence if row["match_level"] is not None]
        rows.append(
            {
                **_of_example(evidence[0], day, split=split),
                "task": task,
                "is_negative": False,
                "touch_type": min(types, key=TYPE_ORDER.index, default=None),
                "match_level": min(levels, key=LEVEL_ORDER.index, default=None),
                "match_factor": sorted(row["match_factor"] for row in evidence)[-1],
                "as_of": as_of,
                "label_weight": sum(row["weight"] for row in evidence),
                "evidence_dt": max(newest(row) for row in evidence),
            }
        )
    return rows


def _negatives(
    derived: dict[str, list[Row]], day: dt.date, *, settings: ExampleSettings, ids_of: IdsOf
) -> list[Row]:
    liked = set()
    for row in derived["weighted_labels"]:
        split = _split_of(row, day, settings=settings)
        cutoff = day - settings.holdout_days * DAY
        if split and is_known(row, cutoff):
            liked |= {(user, row["pin_id"]) for user in ids_of(row["user_id"], cutoff)}
    rows = []
    for row in derived["hard_negatives"]:
        split = _split_of(row, day, settings=settings)
        if split is None or split[0] != "train" or row["impression_dt"] >= split[1]:
            continue
        if row["engaged_dt"] is not None and row["engaged_dt"] < split[1]:
            continue
        if (row["user_id"], row["pin_id"]) not in liked:
            rows.append(
                {
                    **_of_example(row, day, split="train"),
                    "task": None,
                    "is_negative": True,
                    "touch_type": None,
                    "match_level": None,
                    "match_factor": 1.0,
                    "label_weight": 1.0,
                    "maturity": 1.0,
                    "maturity_factor": 1.0,
                    "weight": 1.0,
                    "evidence_dt": None,
                }
            )
    return rows


def _of_example(row: Row, day: dt.date, *, split: str) -> Row:
    return {
        "dt": day,
        "split": split,
        "example_day": row["dt"],
        **{name: row[name] for name in IMPRESSION_COLUMNS},
    }


def _complete(row: Row, seen: set, features: dict[str, dict], *, ids_of: IdsOf) -> Row:
    """Whether the user met the Pin before, and both sides' features, as of the impression day."""
    row["seen_before"] = any(
        (user, row["pin_id"], row["example_day"] - k * DAY) in seen
        for user in ids_of(row["user_id"], row["example_day"])
        for k in range(1, SEEN_DAYS + 1)
    )
    for side, _, key in SIDES:
        found = features[side].get((row["example_day"], row[key]), {})
        prefix = f"{side}_"
        for column in TRAINING_EXAMPLES:
            if column.startswith(prefix) and column not in row:
                row[column] = found.get(column.removeprefix(prefix))
    return row
