"""Numeric features: logarithms, smoothed rates, and standardising by what training saw.

The counters of a log's first days are low because there was little to count. Where the log's first
day is known, they are taken relative to what could have been counted by then.
"""

import re
from datetime import date

import numpy as np
import pyarrow as pa
from pydantic import Field

from convcg_model.arrow_columns import as_floats, table_column
from convcg_model.config import FrozenConfig

PSEUDO_EVENTS = 2.0
"""Events of the average rate that every smoothed rate starts from."""
CLIP = 6.0
"""Standardised values beyond so many standard deviations are cut."""


class NumericFeature(FrozenConfig):
    """One number per row: a column's, or the smoothed rate of two columns."""

    column: str = Field(description="column, or numerator of the rate")
    denominator: str | None = Field(None, description="denominator of the rate")
    prior_rate: float = Field(0.0, ge=0, description="rate over all training rows")
    log: bool = Field(description="log1p of a value (a rate always takes its log)")
    mean: float
    std: float = Field(gt=0)
    has_missing: bool = Field(description="an indicator column says where it was null in training")

    @property
    def width(self) -> int:
        """Columns of the encoded feature."""
        return 2 if self.has_missing else 1


def fit_numeric(
    table: pa.Table, column: str, *, log: bool = True, first_day: date | None = None
) -> NumericFeature | None:
    """The feature with its training statistics; None where it is null or constant throughout."""
    raw = _read(table, column, denominator=None, prior_rate=0.0, log=log, first_day=first_day)
    return _fit_statistics(raw, column=column, denominator=None, prior_rate=0.0, log=log)


def fit_rate(table: pa.Table, numerator: str, denominator: str) -> NumericFeature | None:
    """The log of a smoothed rate; None where numerator or denominator is null or 0 throughout.

    rate = (numerator + m) / (denominator + m / prior), with m pseudo-events and the prior rate
    that of all rows together: a Pin without impressions gets the prior.
    """
    above = as_floats(table_column(table, numerator, role="training examples"))
    below = as_floats(table_column(table, denominator, role="training examples"))
    both = np.isfinite(above) & np.isfinite(below)
    totals = [float(np.sort(values[both]).sum()) for values in (above, below)]
    if min(totals) <= 0:
        return None
    prior_rate = totals[0] / totals[1]
    raw = _read(table, numerator, denominator=denominator, prior_rate=prior_rate, log=True)
    return _fit_statistics(
        raw, column=numerator, denominator=denominator, prior_rate=prior_rate, log=True
    )


def encode_numeric(
    table: pa.Table,
    features: tuple[NumericFeature, ...],
    *,
    role: str,
    first_day: date | None = None,
) -> np.ndarray:
    """float32 [n, total width]: standardised values (0 where missing), each with its indicator."""
    blocks = [np.zeros((table.num_rows, 0), dtype=np.float32)]
    shares: dict[int, np.ndarray] = {}
    for feature in features:
        raw = _read(
            table,
            feature.column,
            denominator=feature.denominator,
            prior_rate=feature.prior_rate,
            log=feature.log,
            role=role,
            first_day=first_day,
            shares=shares,
        )
        missing = ~np.isfinite(raw)
        scaled = np.clip((raw - feature.mean) / feature.std, -CLIP, CLIP)
        blocks.append(np.where(missing, 0, scaled).astype(np.float32)[:, None])
        if feature.has_missing:
            blocks.append(missing.astype(np.float32)[:, None])
    return np.concatenate(blocks, axis=1)


def _read(
    table: pa.Table,
    column: str,
    *,
    denominator: str | None,
    prior_rate: float,
    log: bool,
    role: str = "training examples",
    first_day: date | None = None,
    shares: dict[int, np.ndarray] | None = None,
) -> np.ndarray:
    """float64 [n] before standardising, NaN where missing.

    `shares` keeps the window shares of this table by days, for the next column.
    """
    values = as_floats(table_column(table, column, role=role))
    if denominator is not None:
        below = as_floats(table_column(table, denominator, role=role))
        strength = PSEUDO_EVENTS / prior_rate
        return np.log((np.maximum(values, 0) + PSEUDO_EVENTS) / (np.maximum(below, 0) + strength))
    values = np.where(np.isfinite(values), values, np.nan)
    if first_day is not None and (window := re.search(r"_(\d+)d$", column)):
        days, known = int(window[1]), {} if shares is None else shares
        if days not in known:
            known[days] = _window_share(table, first_day=first_day, days=days)
        values = values * known[days]
    return np.log1p(np.maximum(values, 0)) if log else values


def _window_share(table: pa.Table, *, first_day: date, days: int) -> np.ndarray:
    """float64 [n]: a counter's window over the days of it that the log had by a row's day.

    1 where a table does not say its day (`example_day`, or `dt`): it is as of now.
    """
    name = next((name for name in ("example_day", "dt") if name in table.column_names), None)
    if name is None:
        return np.ones(table.num_rows)
    day = as_floats(table_column(table, name, role="rows").cast(pa.int32()))
    past = day - (first_day - date(1970, 1, 1)).days
    return np.where(np.isfinite(past), days / np.clip(past, 1, days), 1.0)


def _fit_statistics(
    raw: np.ndarray, *, column: str, denominator: str | None, prior_rate: float, log: bool
) -> NumericFeature | None:
    # Sorted first, so that the sum, and with it the model's bytes, do not depend on the row order.
    present = np.sort(raw[np.isfinite(raw)])
    has_missing = 0 < len(present) < len(raw)
    # A constant teaches nothing unless its absence does.
    std = float(present.std()) if len(present) else 0.0
    if std < 1e-9 and not has_missing:
        return None
    return NumericFeature(
        column=column,
        denominator=denominator,
        prior_rate=prior_rate,
        log=log,
        mean=float(present.mean()),
        std=max(std, 1e-9) if std >= 1e-9 else 1.0,
        has_missing=has_missing,
    )
