"""Whether the server sees what training saw: logged impressions, replayed.

Features that training has and serving has not are a common reason why better offline figures bring
nothing. So the server's own way from a request to the user tower is walked with impressions that
were logged, and what comes out is compared with their training rows, feature by feature.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.features import FeatureSpec
from convcg_model.user_table import user_schema
from convcg_model.user_tower import UserTower
from convcg_serving.day_features import DayFeatures
from convcg_serving.requests import CandidateRequest
from convcg_serving.user_rows import user_rows

TOLERANCE = 1e-5


@dataclass(frozen=True)
class FeatureSkew:
    """One feature: the share of rows that differ, the largest difference (NaN: not of numbers),
    and one of the impressions."""

    name: str
    share: float
    largest: float
    example: str | None


@dataclass(frozen=True)
class Skew:
    """What a replay found, of so many rows; `vectors`: largest difference of the user vectors."""

    rows: int
    features: tuple[FeatureSkew, ...]
    vectors: float | None

    @property
    def is_there(self) -> bool:
        """Whether anything differs by more than adding up in another order does."""
        far = self.vectors is not None and not self.vectors <= TOLERANCE
        return far or any(feature.share > 0 for feature in self.features)


def replay(
    examples: pa.Table, features: DayFeatures, spec: FeatureSpec, *, tower: UserTower | None = None
) -> Skew:
    """Compare training rows of day D with what the server makes of their requests.

    `examples` holds impressions of D with their context (`surface`, `subject_pin_id`, `query`) and
    the user side of `example_features`; `features` are those of D. With a `tower` the user vectors
    are compared too.
    """
    requests = [
        CandidateRequest.model_validate({name: v for name, v in row.items() if v is not None})
        for row in examples.select(["user_id", "surface", "subject_pin_id", "query"]).to_pylist()
    ]
    noon = dt.datetime.combine(features.day, dt.time(12), dt.UTC)
    served, _ = user_rows(requests, spec, features, now=noon)
    ids = examples["impression_id"].to_pylist()
    wanted = user_schema(spec)
    names = [name for name in wanted.names if name != "example_day"]
    trained = pa.table(
        {name: examples[name].combine_chunks().cast(wanted.field(name).type) for name in names}
        | {"example_day": pa.array([features.day] * examples.num_rows)}
    )
    vectors = None
    if tower is not None and examples.num_rows:
        of_both = [tower.embed(tower.encode(table)) for table in (trained, served)]
        vectors = float(np.abs(of_both[0] - of_both[1]).max())
    return Skew(
        rows=examples.num_rows,
        features=tuple(_compare(name, trained[name], served[name], ids) for name in names),
        vectors=vectors,
    )


def _compare(
    name: str, trained: pa.ChunkedArray, served: pa.ChunkedArray, ids: list[object]
) -> FeatureSkew:
    """Two columns, row by row; an empty list and none are the same history."""
    if pa.types.is_floating(trained.type):
        numbers = [pc.fill_null(c, float("nan")).to_numpy() for c in (trained, served)]
        apart = np.abs(numbers[0] - numbers[1])
        one_null = np.isnan(numbers[0]) != np.isnan(numbers[1])
        differs = one_null | (apart > TOLERANCE)
        largest = float(np.nanmax(apart, initial=0.0)) if not one_null.any() else float("inf")
    else:
        pairs = zip(trained.to_pylist(), served.to_pylist(), strict=True)
        differs = np.array([_differ(a, b) for a, b in pairs], dtype=bool)
        largest = float("nan")
    rows = np.flatnonzero(differs)
    return FeatureSkew(
        name,
        float(differs.mean()) if len(differs) else 0.0,
        largest,
        str(ids[rows[0]]) if len(rows) else None,
    )


def _differ(trained: object, served: object) -> bool:
    if isinstance(trained, list) or isinstance(served, list):
        a, b = trained or [], served or []
        assert isinstance(a, list)
        assert isinstance(b, list)
        return len(a) != len(b) or any(
            abs(x - y) > TOLERANCE if isinstance(x, float) else x != y
            for x, y in zip(a, b, strict=True)
        )
    return trained != served
