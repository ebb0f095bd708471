"""Which Pins may be shown: by advertiser, category, price, country and by name."""

from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from convcg_model.arrow_columns import id_kind
from convcg_model.config import FrozenConfig

Id = Annotated[int, Field(strict=True)] | Annotated[str, Field(strict=True)]


class PinFilter(FrozenConfig):
    """Conditions that all have to hold; what is None says nothing.

    A Pin of which nothing is known that a condition asks for does not meet it, except that a Pin
    without countries may be shown in all.
    """

    allow_advertisers: tuple[Id, ...] | None = Field(default=None, description="only these")
    block_advertisers: tuple[Id, ...] | None = Field(default=None, description="none of these")
    categories: tuple[str, ...] | None = Field(default=None, description="only these")
    min_price: float | None = Field(default=None, description="at least this price")
    max_price: float | None = Field(default=None, description="at most this price")
    block_pins: tuple[Id, ...] | None = Field(default=None, description="none of these")
    country: str | None = Field(
        default=None, description="only what may be shown there: see the column `countries`"
    )

    def mask(self, pins: pa.Table) -> np.ndarray:
        """bool [N]: which rows of a table of Pins meet all conditions.

        ValueError where ids are of another type than the table's.
        """
        eligible = np.ones(pins.num_rows, dtype=bool)
        if self.allow_advertisers is not None:
            eligible &= _is_in(pins["advertiser_id"], self.allow_advertisers)
        if self.block_advertisers is not None:
            eligible &= ~_is_in(pins["advertiser_id"], self.block_advertisers)
        if self.categories is not None:
            eligible &= _is_in(pins["category"], self.categories)
        if self.block_pins is not None:
            eligible &= ~_is_in(pins["pin_id"], self.block_pins)
        if self.min_price is not None:
            eligible &= _holds(pc.greater_equal(pins["price"], self.min_price))
        if self.max_price is not None:
            eligible &= _holds(pc.less_equal(pins["price"], self.max_price))
        if self.country is not None and "countries" in pins.column_names:
            eligible &= _shown_in(pins["countries"], self.country)
        return eligible


def _is_in(column: pa.ChunkedArray, values: tuple[Id, ...]) -> np.ndarray:
    if pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=bool)
    kind = id_kind(column)
    wanted = int if kind == "int64" else str
    for value in values:
        if not isinstance(value, wanted):
            raise ValueError(f"{value!r} is no id here: they are {kind}")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"{value} is no id here: they are 64-bit integers")
    return _holds(pc.is_in(column, value_set=pa.array(values, column.type)))


def _shown_in(countries: pa.ChunkedArray, country: str) -> np.ndarray:
    lists = countries.combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    everywhere = lengths == 0
    row = np.repeat(np.arange(len(lists)), lengths)
    here = _holds(pc.equal(lists.flatten(), country))
    everywhere[row[here]] = True
    return everywhere


def _holds(condition: pa.Array | pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(condition, False).to_numpy(zero_copy_only=False).astype(bool)
