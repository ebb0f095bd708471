"""Training examples and Pins drawn at random, for benchmarks of what takes no notice of meaning."""

import numpy as np
import pyarrow as pa

from convcg_model.features import PIN_NUMBERS, USER_NUMBERS

NUM_PINS, NUM_USERS, NUM_DAYS = 100_000, 500_000, 30
MAX_ACTIONS = 30
NEGATIVE_SHARE = 0.3
MICROSECONDS_PER_DAY = 86_400 * 10**6


def draw_examples(
    first_row: int, num_rows: int, *, num_examples: int = 1, num_pins: int = NUM_PINS
) -> pa.RecordBatch:
    """Some rows of `num_examples`, which lie over `NUM_DAYS` days; the same rows every time."""
    generator = np.random.default_rng(first_row)
    pin = _skewed(generator, num_rows, num_pins)
    is_negative = generator.random(num_rows) < NEGATIVE_SHARE
    conversion = generator.random(num_rows) < 0.2
    task = np.where(conversion, "conversion", "engagement")
    number = first_row + np.arange(num_rows)
    day = number * NUM_DAYS // max(1, num_examples)
    ts = day * MICROSECONDS_PER_DAY + generator.integers(0, MICROSECONDS_PER_DAY, num_rows)
    lengths = generator.integers(0, MAX_ACTIONS + 1, num_rows)
    starts = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    num_actions = int(lengths.sum())
    # Taken from Arrow: of so much text NumPy makes several arrays.
    kinds = pa.array(["click", "repin", "close_up", "checkout"])
    words = np.array(["red shoes", "oak table", "lamp", "garden chair"])

    def some(values: np.ndarray, share: float) -> pa.Array:
        return pa.array(values, mask=generator.random(num_rows) >= share)

    columns = {
        "split": pa.array(np.full(num_rows, "train")),
        "example_day": pa.array(day.astype("i4"), pa.date32()),
        "impression_id": pa.array(number),
        "user_id": pa.array(generator.integers(0, NUM_USERS, num_rows)),
        "pin_id": pa.array(pin),
        "advertiser_id": pa.array(pin % 5_000),
        "impression_ts": pa.array(ts, pa.timestamp("us")),
        "surface": pa.array(np.array(["homefeed", "search", "related_pins"])[pin % 3]),
        "subject_pin_id": some(_skewed(generator, num_rows, num_pins), 0.3),
        "query": some(words[pin % 4], 0.3),
        "task": pa.array(task, mask=is_negative),
        "is_negative": pa.array(is_negative),
        "weight": pa.array(np.where(is_negative, 1.0, generator.random(num_rows) + 0.5)),
        "evidence_dt": pa.array((day + 1).astype("i4"), pa.date32()),
        **{
            f"user_{name}": pa.array(
                np.array(["a", "b", "c"])[generator.integers(3, size=num_rows)]
            )
            for name in ("country", "age_bucket", "gender")
        },
        **{name: pa.array(generator.poisson(3.0, num_rows) * 1.0) for name in USER_NUMBERS},
        **{f"pin_{name}": pa.array(generator.poisson(3.0, num_rows) * 1.0) for name in PIN_NUMBERS},
        "pin_category": pa.array(np.char.add("c", (pin % 20).astype(str))),
        "user_recent_pin_ids": pa.ListArray.from_arrays(
            starts, pa.array(_skewed(generator, num_actions, num_pins))
        ),
        "user_recent_actions": pa.ListArray.from_arrays(
            starts, kinds.take(pa.array(generator.integers(4, size=num_actions)))
        ),
        "user_recent_age_days": pa.ListArray.from_arrays(
            starts, pa.array(generator.random(num_actions) * 30)
        ),
    }
    return pa.RecordBatch.from_pydict(columns)


def draw_pins(num_pins: int = NUM_PINS) -> pa.Table:
    """All Pins with their features."""
    generator = np.random.default_rng(5)
    content = generator.normal(size=num_pins * 32)
    starts = pa.array(np.arange(num_pins + 1) * 32, pa.int32())
    numbers = {name: pa.array(generator.poisson(3.0, num_pins) * 1.0) for name in PIN_NUMBERS}
    pin = np.arange(num_pins)
    return pa.table(
        {
            "pin_id": pa.array(pin),
            "advertiser_id": pa.array(pin % 5_000),
            "category": pa.array(np.char.add("c", (pin % 20).astype(str))),
            "content": pa.ListArray.from_arrays(starts, pa.array(content)),
            **numbers,
        }
    )


def _skewed(generator: np.random.Generator, size: int, num_pins: int) -> np.ndarray:
    """Pins, few of them often."""
    return (num_pins * generator.random(size) ** 3).astype(np.int64)
