"""A checkerboard world: even users want even Pins, odd users odd ones; any model must learn it."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
import torch

from convcg_model.features import PIN_NUMBERS, USER_NUMBERS


class World:
    """Tables of `num_rows` examples over `num_pins` Pins; everything optional can be left out.

    With `with_times` the examples are of ten days, else of one moment.
    """

    def __init__(
        self,
        *,
        num_rows=600,
        num_pins=40,
        num_users=60,
        sparse=False,
        string_ids=False,
        with_times=False,
    ):
        generator = np.random.default_rng(7)
        user = generator.integers(num_users, size=num_rows)
        pin = 2 * generator.integers(num_pins // 2, size=num_rows) + user % 2
        is_negative = generator.random(num_rows) < 0.2
        pin = np.where(is_negative, 2 * (pin // 2) + 1 - user % 2, pin)
        recent = 2 * generator.integers(num_pins // 2, size=(num_rows, 3)) + (user % 2)[:, None]
        self._id = (lambda prefix, v: f"{prefix}{v}") if string_ids else (lambda prefix, v: int(v))
        kind = pa.string() if string_ids else pa.int64()
        self.content = generator.normal(size=(num_pins, 4))
        task = np.where(np.arange(num_rows) % 3 == 0, "conversion", "engagement")

        def none(type_):
            return pa.nulls(num_rows, type_)

        def counts():
            return (
                none(pa.float64()) if sparse else pa.array(generator.poisson(3.0, num_rows) * 1.0)
            )

        columns = {
            "split": pa.array(["train"] * num_rows),
            "impression_id": self._ids("i", range(num_rows)),
            "user_id": self._ids("u", user),
            "pin_id": self._ids("p", pin),
            "advertiser_id": none(kind) if sparse else self._ids("a", pin % 5),
            "impression_ts": pa.array(
                [
                    dt.datetime(2026, 1, 1) + dt.timedelta(hours=row % 240 * with_times)
                    for row in range(num_rows)
                ],
                pa.timestamp("us"),
            ),
            "surface": pa.array(
                np.array(["homefeed", "search"])[generator.integers(2, size=num_rows)]
            ),
            "subject_pin_id": none(kind)
            if sparse
            else pa.array([self._id("p", p) if p % 3 else None for p in recent[:, 0]], kind),
            "query": none(pa.string())
            if sparse
            else pa.array([["red shoes", "lamp", None][p % 3] for p in recent[:, 1]]),
            "task": pa.array([None if n else t for n, t in zip(is_negative, task, strict=True)]),
            "is_negative": pa.array(is_negative),
            "weight": pa.array(np.where(is_negative, 1.0, generator.random(num_rows) + 0.5)),
        }
        for name in ("country", "age_bucket", "gender"):
            values = pa.array(np.array(["a", "b", "c"])[generator.integers(3, size=num_rows)])
            columns[f"user_{name}"] = none(pa.string()) if sparse else values
        for name in USER_NUMBERS:
            columns[name] = counts()
        columns["user_recent_pin_ids"] = pa.array(
            [
                [self._id("p", p) for p in row[: 1 + u % 3]]
                for u, row in zip(user, recent, strict=True)
            ]
        )
        lengths = [1 + u % 3 for u in user]
        columns["user_recent_actions"] = pa.array(
            [["click", "checkout", "repin"][:n] for n in lengths]
        )
        columns["user_recent_age_days"] = pa.array([[0.5, 2.0, 9.0][:n] for n in lengths])
        columns["pin_category"] = (
            none(pa.string()) if sparse else pa.array([f"c{p % 4}" for p in pin])
        )
        for name in PIN_NUMBERS:
            columns[f"pin_{name}"] = counts()
        self.examples = pa.table(columns)

        pins = {
            "pin_id": self._ids("p", range(num_pins)),
            "advertiser_id": pa.nulls(num_pins, kind)
            if sparse
            else self._ids("a", np.arange(num_pins) % 5),
            "category": pa.nulls(num_pins, pa.string())
            if sparse
            else pa.array([f"c{p % 4}" for p in range(num_pins)]),
            "content": pa.nulls(num_pins, pa.list_(pa.float64()))
            if sparse
            else pa.array(self.content.tolist()),
        }
        for name in PIN_NUMBERS:
            numbers = pa.array(generator.poisson(3.0, num_pins) * 1.0)
            pins[name] = pa.nulls(num_pins, pa.float64()) if sparse else numbers
        self.pins = pa.table(pins)

    def _ids(self, prefix, values):
        return pa.array([self._id(prefix, value) for value in values])


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    # The tests' tensors are tiny: a second thread only waits, and much so on a busy machine.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_world():
    return World


@pytest.fixture(scope="session")
def world():
    return World()
