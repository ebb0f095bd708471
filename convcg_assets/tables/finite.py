"""A check for every table that a model reads numbers from."""

import functools
import operator

import ibis
from ibis import _
from ibis.expr.datatypes import Array

from convcg_assets.tables.table import Check


def numbers_are_finite(*ids: str) -> Check:
    """The check that no number of a table is NaN or infinite; `ids` name an offending row."""
    return Check(
        "numbers_are_finite",
        "No number is NaN or infinite.",
        error=lambda i: not_finite(i.own, ids=ids),
    )


def not_finite(rows: ibis.Table, *, ids: tuple[str, ...]) -> ibis.Table:
    """Rows with a NaN or an infinity: one of them makes every weight of a model NaN."""
    faults = []
    for name, kind in rows.schema().items():
        if kind.is_floating():
            faults.append(_[name].isnan() | _[name].isinf())
        elif isinstance(kind, Array) and kind.value_type.is_floating():
            faults.append(_[name].filter(lambda x: x.isnan() | x.isinf()).length() > 0)
    broken = functools.reduce(operator.or_, (fault.fill_null(False) for fault in faults))
    return rows.filter(broken).select(*ids)
