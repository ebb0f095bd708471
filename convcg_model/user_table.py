"""A table for the user tower from plain values, as those who ask have them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from convcg_model.features import CONTEXT_COLUMNS, USER_NUMBERS, FeatureSpec


def user_schema(spec: FeatureSpec) -> pa.Schema:
    """The columns of training examples that the user tower reads, and the day they are as of."""
    pin_id = pa.type_for_alias(spec.pins.kind)
    return pa.schema(
        {
            "example_day": pa.date32(),
            **dict.fromkeys(CONTEXT_COLUMNS, pa.string()),
            "subject_pin_id": pin_id,
            "query": pa.string(),
            **dict.fromkeys(USER_NUMBERS, pa.float64()),
            "user_recent_pin_ids": pa.list_(pin_id),
            "user_recent_actions": pa.list_(pa.string()),
            "user_recent_age_days": pa.list_(pa.float64()),
        }
    )


def user_table(rows: Sequence[Mapping[str, Any]], spec: FeatureSpec) -> pa.Table:
    """One row per mapping; what a mapping lacks is null, as it is for who is not known.

    ValueError where a mapping names something that the tower does not read, or holds a value of
    another type.
    """
    schema = user_schema(spec)
    unknown = sorted({name for row in rows for name in row} - set(schema.names))
    if unknown:
        raise ValueError(
            f"the user tower reads no {', '.join(unknown)}; it reads {', '.join(schema.names)}"
        )
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.name == "example_day":
            values = [date.fromisoformat(v) if isinstance(v, str) else v for v in values]
        try:
            columns.append(pa.array(values, field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise ValueError(f"{field.name}: {error}") from None
    return pa.Table.from_arrays(columns, schema=schema)


def feature_rows(
    users: pa.Table, spec: FeatureSpec, *, day: date, surface: str | None = None
) -> pa.Table:
    """Rows of `user_features` of a day as the user tower reads them, all on one surface."""
    columns = []
    for field in user_schema(spec):
        name = field.name.removeprefix("user_")
        if field.name == "example_day":
            column = pa.array([day] * users.num_rows, field.type)
        elif field.name == "surface":
            column = pa.array([surface] * users.num_rows, field.type)
        elif field.name.startswith("user_") and name in users.column_names:
            column = users[name].combine_chunks().cast(field.type)
        else:
            column = pa.nulls(users.num_rows, field.type)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=user_schema(spec))
