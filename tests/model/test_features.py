"""What goes into the feature spec, and how rows become tensors."""

import datetime as dt
import math
import zlib

import numpy as np
import pyarrow as pa
import pytest

from convcg_model.arrow_columns import as_vectors
from convcg_model.catalogue import FIRST_PIN, NO_PIN, UNKNOWN_PIN, encode_catalogue, static_pins
from convcg_model.config import ModelConfig
from convcg_model.encoding import encode_pins, encode_users, query_tokens, user_batch
from convcg_model.features import FeatureSpec
from convcg_model.numeric import encode_numeric, fit_numeric, fit_rate
from convcg_model.training_set import fit_catalogue_and_features
from convcg_model.vocabulary import MISSING, UNKNOWN, fit_vocabulary, hash_buckets


def fit(world, **options):
    config = ModelConfig.model_validate({"min_pin_count": 2} | options)
    return fit_catalogue_and_features(world.examples, world.pins, config=config)


def test_what_is_null_throughout_is_left_out(make_world):
    _, spec = fit(make_world(sparse=True))
    assert spec.advertisers is None
    assert spec.categories is None
    assert list(spec.context) == ["surface"]
    assert not spec.has_query
    assert not spec.has_subject
    assert spec.content_size == 0
    assert spec.user_numeric == spec.pin_numeric == spec.item_numeric == ()


def test_spec_is_json_and_does_not_depend_on_row_order(world):
    _, spec = fit(world)
    assert FeatureSpec.model_validate_json(spec.model_dump_json()) == spec
    shuffled = world.examples.take(np.random.default_rng(0).permutation(world.examples.num_rows))
    static, other = fit_catalogue_and_features(
        shuffled, world.pins, config=ModelConfig(min_pin_count=2)
    )
    assert other == spec
    assert static.equals(fit(world)[0])


@pytest.mark.parametrize("values", [[7, 7, 5, 5, 5, 9, None], ["g", "g", "e", "e", "e", "i", None]])
def test_vocabulary_by_frequency_with_missing_and_unknown(values):
    vocabulary = fit_vocabulary(pa.array(values), min_count=2)
    assert vocabulary is not None
    assert vocabulary.values == (values[2], values[0])
    codes = vocabulary.encode(pa.array(values), role="ids")
    assert codes.tolist() == [3, 3, 2, 2, 2, UNKNOWN, MISSING]


def test_ids_of_another_kind_are_refused():
    vocabulary = fit_vocabulary(pa.array([1, 2]))
    assert vocabulary is not None
    with pytest.raises(ValueError, match="pins: ids are string, but int64"):
        vocabulary.encode(pa.array(["1"]), role="pins")


def test_numbers_are_logged_and_standardised_and_nulls_marked():
    table = pa.table({"x": pa.array([0.0, math.e - 1, None])})
    feature = fit_numeric(table, "x")
    assert feature is not None
    # log1p: 0 and 1; mean 1/2, deviation 1/2
    assert (feature.mean, feature.std) == (pytest.approx(0.5), pytest.approx(0.5))
    encoded = encode_numeric(table, (feature,), role="rows")
    assert encoded.tolist() == [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]


def test_a_constant_is_left_out():
    assert fit_numeric(pa.table({"x": [4.0, 4.0]}), "x") is None


def test_rates_are_smoothed_towards_the_overall_rate():
    table = pa.table({"clicks": [10, 0], "shown": [10, 90]})
    feature = fit_rate(table, "clicks", "shown")
    assert feature is not None
    assert feature.prior_rate == 10 / 100
    high, low = math.log((10 + 2) / (10 + 2 / 0.1)), math.log((0 + 2) / (90 + 2 / 0.1))
    assert feature.mean == pytest.approx((high + low) / 2)
    assert encode_numeric(table, (feature,), role="rows")[:, 0] == pytest.approx([1.0, -1.0])


def test_rate_of_nothing_is_left_out():
    assert fit_rate(pa.table({"clicks": [0, 0], "shown": [10, 90]}), "clicks", "shown") is None


def test_query_tokens_are_the_same_everywhere():
    # CRC-32 of "red", "shoes" and "red shoes", modulo 1000, plus 1
    tokens = query_tokens("Red  shoes", buckets=1000, max_tokens=8)
    assert tokens == [456, 448, 313]
    assert query_tokens("red", buckets=1000, max_tokens=8) == tokens[:1]
    assert query_tokens(None, buckets=1000, max_tokens=8) == []


def test_histories_are_cut_to_the_newest_and_padded_per_batch(world):
    static, spec = fit(world, max_recent_actions=2)
    catalogue = encode_catalogue(static, spec, role="pins")
    users = encode_users(world.examples, spec, catalogue)
    rows = np.array([0, 1, 2, 3, 4])
    batch = user_batch(users, catalogue, rows)
    for row in rows:
        recent = world.examples["user_recent_pin_ids"][int(row)].as_py()[:2]
        length = int((batch.recent_BL[row] > 0).sum())
        assert length == len(recent)
        items = batch.items.pin_M[batch.recent_BL[row, :length]]
        assert items.tolist() == spec.pins.encode(pa.array(recent), role="pins").tolist()


def test_pins_that_nobody_knows_are_unknown_and_no_pin_is_none(world):
    static, spec = fit(world)
    catalogue = encode_catalogue(static, spec, role="pins")
    rows = catalogue.rows(pa.array([999_999, None, 0]), role="pins")
    assert rows.tolist() == [UNKNOWN_PIN, NO_PIN, FIRST_PIN]


def test_a_new_pin_has_its_other_features(world):
    _, spec = fit(world)
    new = world.pins.slice(3, 1).set_column(0, "pin_id", pa.array([999_999]))
    static = static_pins(new, pin_id_kind="int64", advertiser_id_kind="int64")
    catalogue = encode_catalogue(static, spec, role="pins")
    row = encode_pins(new, spec, catalogue).row
    assert catalogue.pin[row].tolist() == [UNKNOWN]
    assert catalogue.category[row][0] > UNKNOWN
    assert catalogue.content[row][0, :4] * spec.content_scale == pytest.approx(world.content[3])


def test_the_newest_row_of_a_pin_counts():
    days = [dt.date(2026, 1, day) for day in (1, 3, 2)]
    pins = pa.table({"dt": days, "pin_id": ["a", "a", "b"], "category": ["old", "new", None]})
    static = static_pins(pins, pin_id_kind="string", advertiser_id_kind="string")
    assert static["pin_id"].to_pylist() == ["a", "b"]
    assert static["category"].to_pylist() == ["new", None]


def test_vectors_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"lengths \[1, 2\]"):
        as_vectors(pa.array([[1.0], [1.0, 2.0]]), role="content")


def test_a_missing_column_is_named(world):
    with pytest.raises(ValueError, match="no column 'user_recent_actions'"):
        fit_catalogue_and_features(
            world.examples.drop_columns("user_recent_actions"),
            world.pins,
            config=ModelConfig(min_pin_count=2),
        )


def test_ids_beyond_the_vocabulary_have_two_buckets_each(world):
    static, spec = fit(world, min_pin_count=30)
    rare = spec.pin_hash_buckets
    assert rare == 64
    catalogue = encode_catalogue(static, spec, role="pins")
    has_code = catalogue.pin[FIRST_PIN:] != UNKNOWN
    assert not catalogue.hashes[FIRST_PIN:][has_code].any()
    hashed = catalogue.hashes[FIRST_PIN:][~has_code]
    assert len(hashed) > 0
    assert 1 <= hashed.min() <= hashed.max() <= rare
    assert len(np.unique(hashed, axis=0)) > 0.8 * len(hashed)
    assert fit(world, min_pin_count=30, hashed_ids=False)[1].pin_hash_buckets == 0
    assert fit(world, min_pin_count=1)[1].pin_hash_buckets == 0


def test_hash_buckets_are_the_same_everywhere():
    # CRC-32 of "a7", "b7", "ax" and "bx", modulo 64, plus 1
    known, unknown = np.array([False]), np.array([True])
    numbers = hash_buckets(pa.array([7]), unknown=unknown, buckets=64)
    assert numbers.tolist() == [[zlib.crc32(b"a7") % 64 + 1, zlib.crc32(b"b7") % 64 + 1]]
    assert hash_buckets(pa.array(["x"]), unknown=known, buckets=64).tolist() == [[0, 0]]
