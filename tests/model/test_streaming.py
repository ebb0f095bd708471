"""Examples in a file and arrays in files: the same model to the byte, and no copy in memory."""

import numpy as np
import pyarrow as pa
import pytest

from convcg_model import arrow_columns
from convcg_model.array_files import concatenate
from convcg_model.catalogue import encode_catalogue
from convcg_model.config import TaskWeights
from convcg_model.encoding import encode_pins, encode_users
from convcg_model.example_file import write_examples
from convcg_model.features import pin_columns
from convcg_model.read_ahead import ReadAhead
from convcg_model.training_set import fit_catalogue_and_features, training_set

from .test_training import SHORT, KilledError, train
from .test_training import SMALL as LEARNT

SMALL = LEARNT.model_copy(update={"min_pin_count": 1})


@pytest.fixture
def small_parts(monkeypatch):
    """Many parts of few rows, the last one shorter."""
    monkeypatch.setattr(arrow_columns, "PART_ROWS", 37)
    monkeypatch.setattr("convcg_model.training_set.PART_ROWS", 41)


def in_file(table: pa.Table, folder) -> pa.Table:
    return write_examples(table.to_batches(max_chunksize=50), table.schema, folder / "rows.arrow")


def arrays_of(encoded) -> dict[str, np.ndarray]:
    found = {}
    for name, value in vars(encoded).items():
        found |= {f"{name} {k}": v for k, v in value.items()} if isinstance(value, dict) else {}
        found |= {} if isinstance(value, dict) else {name: value}
    return found


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("mapped", [True, False])
def test_parts_are_encoded_as_the_whole(make_world, monkeypatch, tmp_path, sparse, mapped):
    world = make_world(sparse=sparse, string_ids=sparse)
    static, spec = fit_catalogue_and_features(world.examples, world.pins, config=SMALL)
    catalogue = encode_catalogue(static, spec, role="catalogue")
    whole = encode_users(world.examples, spec, catalogue)
    of_pins = encode_pins(pin_columns(world.examples), spec, catalogue)
    monkeypatch.setattr(arrow_columns, "PART_ROWS", 37)
    examples = in_file(world.examples, tmp_path)
    assert fit_catalogue_and_features(examples, world.pins, config=SMALL) == (static, spec)
    folders = (tmp_path / "users", tmp_path / "pins") if mapped else (None, None)
    parts = encode_users(examples, spec, catalogue, folder=folders[0])
    parts_of_pins = encode_pins(pin_columns(examples), spec, catalogue, folder=folders[1])
    for one, other in ((whole, parts), (of_pins, parts_of_pins)):
        expected, found = arrays_of(one), arrays_of(other)
        assert expected.keys() == found.keys()
        for name, values in expected.items():
            assert values.dtype == found[name].dtype, name
            np.testing.assert_array_equal(values, found[name], err_msg=name)
    assert isinstance(parts.recent, np.memmap) == mapped


@pytest.mark.usefixtures("small_parts")
def test_the_model_is_the_same_to_the_byte(world, tmp_path):
    examples = in_file(world.examples, tmp_path)
    streamed = train(world, examples=examples, array_folder=tmp_path / "arrays")
    assert streamed.model_version == train(world).model_version


@pytest.mark.usefixtures("small_parts")
def test_killed_in_the_middle_of_an_epoch_it_ends_in_the_same_bytes(world, tmp_path):
    training = SHORT.model_copy(update={"save_every_steps": 2})
    given = {"training": training, "examples": in_file(world.examples, tmp_path)}

    def die_at_step_3(step, _):
        if step == 3:
            raise KilledError

    states = {"checkpoint_dir": tmp_path / "states"}
    with pytest.raises(KilledError):
        train(world, **given, **states, array_folder=tmp_path / "one", on_step=die_at_step_3)
    steps = []
    resumed = train(
        world,
        **given,
        **states,
        array_folder=tmp_path / "two",
        on_step=lambda step, _: steps.append(step),
    )
    assert steps[0] == 2
    assert resumed.model_version == train(world, training=training).model_version


@pytest.mark.usefixtures("small_parts")
def test_what_grows_lies_in_files(world, tmp_path):
    """Of the rows themselves nothing is copied into memory, of the arrays what is a number each."""
    before = pa.total_allocated_bytes()
    examples = in_file(world.examples, tmp_path)
    assert pa.total_allocated_bytes() - before < 10_000
    assert world.examples.nbytes > 100_000
    assert examples.equals(world.examples)
    static, spec = fit_catalogue_and_features(examples, world.pins, config=SMALL)
    weights = TaskWeights()
    data = training_set(examples, static, spec, task_weights=weights, folder=tmp_path / "arrays")
    in_files = {*vars(data.users), *vars(data.pins)} - {"categorical"}
    in_files -= {"recent_starts", "token_starts", "row"}
    every = {**vars(data.users), **vars(data.pins)}
    assert all(isinstance(every[name], np.memmap) for name in in_files)
    whole = training_set(world.examples, static, spec, task_weights=weights)
    assert data.digest() == whole.digest()
    np.testing.assert_array_equal(data.mentioned_pins(), whole.mentioned_pins())


def test_uneven_lists_are_named_by_their_row(world, monkeypatch):
    monkeypatch.setattr(arrow_columns, "PART_ROWS", 100)
    static, spec = fit_catalogue_and_features(world.examples, world.pins, config=SMALL)
    ages = world.examples["user_recent_age_days"].to_pylist()
    ages[250] = ages[250][:-1]
    place = world.examples.column_names.index("user_recent_age_days")
    broken = world.examples.set_column(place, "user_recent_age_days", pa.array(ages))
    with pytest.raises(ValueError, match="row 250: user_recent_age_days and"):
        training_set(broken, static, spec, task_weights=TaskWeights())


def test_arrays_of_parts(tmp_path):
    parts = [
        {"a": np.arange(6).reshape(3, 2), "b": np.zeros(0)},
        {"a": np.arange(2).reshape(1, 2)},
        {"c": np.ones(1)},
    ]
    for folder in (None, tmp_path / "arrays"):
        found = concatenate(parts, folder)
        assert found["a"].tolist() == [[0, 1], [2, 3], [4, 5], [0, 1]]
        assert (found["b"].shape, found["c"].tolist()) == ((0,), [1.0])


def test_reading_ahead_asks_for_pages_within_the_files(world, tmp_path):
    static, spec = fit_catalogue_and_features(world.examples, world.pins, config=SMALL)
    weights = TaskWeights()
    mapped = training_set(
        world.examples, static, spec, task_weights=weights, folder=tmp_path / "arrays"
    )
    before = mapped.digest()
    for data in (mapped, training_set(world.examples, static, spec, task_weights=weights)):
        ahead = ReadAhead(data)
        for rows in (np.arange(600), np.array([0]), np.array([599, 3, 3, 400]), np.zeros(0, int)):
            ahead.rows(rows)
    assert mapped.digest() == before


def test_advice_that_is_refused_ends_nothing(world, tmp_path, monkeypatch):
    monkeypatch.setattr("convcg_model.read_ahead.mmap.MADV_WILLNEED", 12345)
    monkeypatch.setattr("convcg_model.read_ahead.mmap.MADV_RANDOM", 12345)
    streamed = train(world, array_folder=tmp_path / "arrays")
    assert streamed.model_version == train(world).model_version
