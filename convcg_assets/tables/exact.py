"""Arithmetic on which every rebuild and every engine agree to the last digit."""

import ibis

SHARE_DECIMALS = 12
"""For credits and weights: numbers of about 1, of which a few thousands are summed."""
AMOUNT_DECIMALS = 4
"""For money and seconds."""


def double(value: float) -> ibis.Value:
    """A number that every engine takes for a double.

    A plain literal 0.6 is a decimal to DuckDB and to Spark, and divides as one.
    """
    return ibis.literal(repr(float(value))).cast("float64")


def to_units(value: ibis.Value, *, decimals: int) -> ibis.Value:
    """A float as a whole number of its last decimal: what can be summed in any order."""
    return (value * double(10**decimals)).round().cast("int64")


def exact_sum(value: ibis.Value, *, decimals: int, where: ibis.Value | None = None) -> ibis.Value:
    """Sum of floats rounded to `decimals`; null over no values, like any SQL sum.

    Floating-point addition is not associative: two threads would give two last digits.
    """
    return to_units(value, decimals=decimals).sum(where=where) / double(10**decimals)
