"""Randomness that does not depend on the order in which days are made.

Every (seed, day, purpose) has a generator of its own; what has to be known for single users or Pins
on any day (a passing need) is hashed, not drawn.
"""

import zlib

import numpy as np


def generator(seed: int, *, purpose: str, day: int = 0) -> np.random.Generator:
    """The generator of one purpose on one day."""
    return np.random.default_rng([seed, day, zlib.crc32(purpose.encode())])


def hashed_uniform(seed: int, *, purpose: str, keys: tuple[np.ndarray, ...]) -> np.ndarray:
    """A number in [0, 1) for each row of `keys`, the same whenever it is asked for.

    The mixing function is splitmix64 (Steele, Lea and Flood, 2014), once per key.
    """
    start = (seed * 0x9E3779B97F4A7C15 + zlib.crc32(purpose.encode())) % 2**64
    state = np.full(np.broadcast_shapes(*(key.shape for key in keys)), start, dtype=np.uint64)
    for key in keys:
        state = _mixed(state ^ key.astype(np.uint64))
    return (state >> np.uint64(11)).astype(np.float64) / 2.0**53


def _mixed(state: np.ndarray) -> np.ndarray:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
