"""Which features a model reads, fitted on training examples: the feature spec.

A feature that is null in every training row is left out, not invented. The spec is plain JSON and
travels with the checkpoint. How a table becomes tensors by it: `encoding.py`.
"""

from datetime import date

import numpy as np
import pyarrow as pa
from pydantic import Field

from convcg_model.arrow_columns import (
    as_flat_lists,
    chunked_column,
    in_parts,
    is_all_null,
    list_values,
    table_column,
)
from convcg_model.config import FrozenConfig, ModelConfig
from convcg_model.content import prevailing_version, read_content
from convcg_model.numeric import NumericFeature, fit_numeric, fit_rate
from convcg_model.vocabulary import Vocabulary, count_values, fit_counted, fit_vocabulary

CONTEXT_COLUMNS = ("surface", "user_country", "user_age_bucket", "user_gender")
USER_NUMBERS = (
    "user_account_age_days",
    "user_num_impressions_7d",
    "user_num_impressions_30d",
    "user_num_clicks_7d",
    "user_num_clicks_30d",
    "user_num_repins_30d",
    "user_num_conversions_30d",
    "user_conversion_value_30d",
    "user_mean_click_duration_s",
    "user_days_since_action",
)
USER_RATES = (
    ("user_num_clicks_30d", "user_num_impressions_30d"),
    ("user_num_conversions_30d", "user_num_clicks_30d"),
)
PIN_NUMBERS = (
    "price",
    "age_days",
    "num_impressions_7d",
    "num_impressions_30d",
    "num_clicks_7d",
    "num_clicks_30d",
    "num_repins_30d",
    "num_conversions_30d",
    "conversion_value_30d",
    "mean_click_duration_s",
    "advertiser_num_impressions_30d",
    "advertiser_num_clicks_30d",
    "advertiser_num_conversions_30d",
)
PIN_RATES = (
    ("num_clicks_7d", "num_impressions_7d"),
    ("num_clicks_30d", "num_impressions_30d"),
    ("num_repins_30d", "num_impressions_30d"),
    ("num_conversions_30d", "num_impressions_30d"),
    ("num_conversions_30d", "num_clicks_30d"),
    ("conversion_value_30d", "num_conversions_30d"),
    ("advertiser_num_clicks_30d", "advertiser_num_impressions_30d"),
    ("advertiser_num_conversions_30d", "advertiser_num_impressions_30d"),
    ("advertiser_num_conversions_30d", "advertiser_num_clicks_30d"),
)


class FeatureSpec(FrozenConfig):
    """The features of both towers, with vocabularies and training statistics."""

    pins: Vocabulary = Field(description="Pins with an id embedding of their own")
    advertisers: Vocabulary | None = Field(description="advertisers; None: the source has none")
    categories: Vocabulary | None = Field(description="categories; None: the source has none")
    actions: Vocabulary | None = Field(description="kinds of recent actions; None: no histories")
    context: dict[str, Vocabulary] = Field(description="user-side categorical columns")
    has_query: bool = Field(description="whether any row has a search query")
    has_subject: bool = Field(description="whether any row has a subject Pin")
    content_size: int = Field(ge=0, description="numbers of a content vector; 0: no content")
    content_scale: float = Field(gt=0, description="root mean square of the content's numbers")
    content_version: str | None = Field(
        default=None, description="encoder of the content that is read; other content is none"
    )
    item_numeric: tuple[NumericFeature, ...] = Field(description="static numbers of a Pin")
    user_numeric: tuple[NumericFeature, ...] = Field(description="numbers of the user side")
    pin_numeric: tuple[NumericFeature, ...] = Field(description="numbers of the Pin side")
    query_buckets: int = Field(ge=2, description="hash buckets of query tokens")
    max_query_tokens: int = Field(ge=1, description="tokens of a query that are read")
    max_recent_actions: int = Field(ge=1, description="newest actions that are read")
    pin_hash_buckets: int = Field(
        default=0, ge=0, description="hash buckets of Pin ids beyond the vocabulary; 0: none are"
    )
    longest_history: int | None = Field(
        default=None,
        ge=1,
        description="most actions that training read of a row, to which their number is relative; "
        "None: the most of each batch, in models of before",
    )
    first_day: date | None = Field(
        default=None, description="first day of the log, which counters are relative to"
    )


def fit_features(
    examples: pa.Table,
    static: pa.Table,
    *,
    config: ModelConfig,
    first_day: date | None = None,
) -> FeatureSpec:
    """The spec of these training examples and of the `catalogue.static_pins` that they mention.

    It does not depend on the order of the rows.
    """
    role = "training examples"
    counted = count_pins(examples)
    pins = fit_counted(
        counted, min_count=config.resolved_min_pin_count, max_size=config.max_id_vocabulary
    )
    if pins is None:
        raise ValueError("training examples: pin_id is null in every row")
    longest = min(_longest_list(examples, "user_recent_actions"), config.max_recent_actions)
    context = {
        name: fit_vocabulary(table_column(examples, name, role=role)) for name in CONTEXT_COLUMNS
    }
    version = prevailing_version(static)
    content, present = read_content(static, version, role="catalogue")
    pin_side = pin_columns(examples)
    return FeatureSpec(
        pins=pins,
        advertisers=fit_vocabulary(
            table_column(examples, "advertiser_id", role=role),
            min_count=config.min_advertiser_count,
            max_size=config.max_id_vocabulary,
        ),
        categories=fit_vocabulary(table_column(static, "category", role="catalogue")),
        actions=fit_vocabulary(list_values(examples, "user_recent_actions", role=role)),
        context={name: vocabulary for name, vocabulary in context.items() if vocabulary},
        has_query=not is_all_null(table_column(examples, "query", role=role)),
        has_subject=not is_all_null(table_column(examples, "subject_pin_id", role=role)),
        content_size=content.shape[1],
        content_scale=_root_mean_square(content[present]),
        content_version=version,
        item_numeric=_kept([fit_numeric(static, "price")]),
        user_numeric=_kept(
            [fit_numeric(examples, name, first_day=first_day) for name in USER_NUMBERS]
            + [fit_rate(examples, *pair) for pair in USER_RATES]
        ),
        pin_numeric=_kept(
            [fit_numeric(pin_side, name, first_day=first_day) for name in PIN_NUMBERS]
            + [fit_rate(pin_side, *pair) for pair in PIN_RATES]
        ),
        query_buckets=config.query_buckets,
        max_query_tokens=config.max_query_tokens,
        max_recent_actions=config.max_recent_actions,
        pin_hash_buckets=_hash_buckets(counted.num_rows - len(pins.values), config=config),
        longest_history=longest or None,
        first_day=first_day,
    )


def count_pins(examples: pa.Table) -> pa.Table:
    """How often each Pin occurs in the examples and their histories: `value`, `count`."""
    role = "training examples"
    pin_ids = table_column(examples, "pin_id", role=role)
    recent = list_values(examples, "user_recent_pin_ids", role=role)
    return count_values(pa.chunked_array([pin_ids, *recent.cast(pin_ids.type).chunks]))


def _longest_list(examples: pa.Table, name: str) -> int:
    lengths = (
        as_flat_lists(table_column(part, name, role="training examples"))[1]
        for _, part in in_parts(examples)
    )
    return max(int(of_part.max(initial=0)) for of_part in lengths)


def pin_columns(examples: pa.Table) -> pa.Table:
    """The Pin side of training examples under the names of a table of Pins (no `pin_` prefix)."""
    names = {"pin_id": "pin_id", **{name: f"pin_{name}" for name in PIN_NUMBERS}}
    if "example_day" in examples.column_names:
        names["example_day"] = "example_day"
    role = "training examples"
    return pa.table({to: chunked_column(examples, c, role=role) for to, c in names.items()})


def _hash_buckets(num_ids: int, *, config: ModelConfig) -> int:
    """One bucket per id beyond the vocabulary, in powers of two."""
    if num_ids <= 0 or not config.hashed_ids:
        return 0
    return min(config.max_hash_buckets, max(64, 1 << (num_ids - 1).bit_length()))


def _kept(features: list[NumericFeature | None]) -> tuple[NumericFeature, ...]:
    return tuple(feature for feature in features if feature is not None)


def _root_mean_square(values: np.ndarray) -> float:
    squares = float(np.square(values, dtype=np.float64).mean()) if values.size else 0.0
    return squares**0.5 or 1.0
