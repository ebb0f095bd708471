"""A checkpoint and an index bundle come back as they were, and not at all when changed."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from convcg_model.atomic_folder import atomic_folder
from convcg_model.checkpoint import load_checkpoint, read_description, save_checkpoint
from convcg_model.config import IndexConfig, ModelConfig, TrainingConfig
from convcg_model.index import build_index, load_bundle, measure_recall
from convcg_model.training import fit

SMALL = ModelConfig(embedding_dim=16, mlp_sizes=(16, 16, 16), pin_id_dim=8, content_dim=4)


def train(world, seed=0):
    training = TrainingConfig(epochs=1, batch_size=200, seed=seed, device="cpu")
    return fit(world.examples, world.pins, config=SMALL, training=training, progress=False)


@pytest.fixture(scope="module")
def model(world):
    return train(world)


@pytest.fixture(scope="module")
def users(model, world):
    return model.embed_users(world.examples.slice(0, 50))


def test_checkpoint_comes_back(model, users, world, tmp_path):
    version = save_checkpoint(model, tmp_path / "model", provenance={"tables": {"pins": 3}})
    loaded = load_checkpoint(tmp_path / "model")
    assert loaded.model_version == version
    assert np.array_equal(loaded.embed_users(world.examples.slice(0, 50)), users)
    assert read_description(tmp_path / "model")["provenance"] == {"tables": {"pins": 3}}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_checkpoint_of_format_1_is_the_model_that_it_was(make_world):
    """Written by release 0.1, with the embeddings that it gave."""
    world = make_world(num_rows=60, num_pins=12, num_users=10)
    old = load_checkpoint(Path(__file__).parent / "format1")
    assert old.model_version == read_description(Path(__file__).parent / "format1")["model_version"]
    users, pins = (
        old.embed_users(world.examples.slice(0, 1)),
        old.embed_pins(world.pins.slice(0, 1)),
    )
    assert users[0] == pytest.approx([-0.0551276, 0.3579771, -0.2327116, -0.9025845], abs=1e-5)
    assert pins[0] == pytest.approx([-0.2547463, -0.6646395, 0.0353018, -0.7015073], abs=1e-5)
    assert len(old.repeats(world.examples).row) == 0


def test_an_old_model_is_saved_as_what_it_is(tmp_path):
    old = load_checkpoint(Path(__file__).parent / "format1")
    save_checkpoint(old, tmp_path / "again")
    assert load_checkpoint(tmp_path / "again").model_version == old.model_version


def test_a_format_of_the_future_is_refused(model, tmp_path):
    save_checkpoint(model, tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 3}))
    with pytest.raises(ValueError, match="format is 3, but this release reads 1 and 2"):
        load_checkpoint(tmp_path / "model")


def test_string_ids_come_back(make_world, tmp_path):
    world = make_world(string_ids=True, sparse=True)
    bundle = build_index(train(world), world.pins)
    bundle.save(tmp_path / "index")
    users = bundle.model.embed_users(world.examples.slice(0, 3))
    pin_ids, _ = load_bundle(tmp_path / "index").search(users, 2)
    best = np.argsort(-(users @ bundle.embeddings.T), axis=1, kind="stable")[:, 0]
    assert pin_ids[:, 0].tolist() == [f"p{place}" for place in best]


@pytest.mark.parametrize("name", ["weights.pt", "pins.parquet"])
def test_damaged_files_are_refused(model, tmp_path, name):
    save_checkpoint(model, tmp_path / "model")
    content = bytearray((tmp_path / "model" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model" / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: checksum is"):
        load_checkpoint(tmp_path / "model")


def test_a_changed_description_is_refused(model, tmp_path):
    save_checkpoint(model, tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    description = json.loads(path.read_text())
    description["config"]["temperature"] = 0.5
    path.write_text(json.dumps(description))
    with pytest.raises(ValueError, match="the file was changed"):
        load_checkpoint(tmp_path / "model")


def test_no_checkpoint_there(tmp_path):
    with pytest.raises(ValueError, match=r"no model\.json"):
        load_checkpoint(tmp_path)


def test_bundle_searches_as_exact_inner_products_do(model, users, world):
    bundle = build_index(model, world.pins)
    assert bundle.factory == "Flat"
    pin_ids, scores = bundle.search(users, 5)
    exact = np.sort(users @ model.embed_pins(world.pins).T, axis=1)[:, ::-1][:, :5]
    assert scores == pytest.approx(exact, abs=1e-5)
    assert pin_ids.dtype == np.int64
    assert bundle.search(users, 1000)[0].shape == (50, 40)
    assert measure_recall(bundle, users, 5) == 1.0


@pytest.mark.parametrize("factory", ["HNSW8", "IVF2,Flat"])
def test_approximate_indexes_say_their_recall(model, users, world, tmp_path, factory):
    config = IndexConfig(factory=factory, ef_search=8, num_probes=2)
    bundle = build_index(model, world.pins, config=config)
    bundle.save(tmp_path / "index")
    loaded = load_bundle(tmp_path / "index")
    assert 0.8 < measure_recall(bundle, users, 5) == measure_recall(loaded, users, 5) <= 1


def test_recall_counts_what_the_index_misses(model, users, world):
    config = IndexConfig(factory="IVF4,Flat", num_probes=1)
    bundle = build_index(model, world.pins, config=config)
    exact = np.argsort(-(users @ bundle.embeddings.T), axis=1)[:, :10]
    places, _ = bundle.search_places(users, 10)
    shares = [
        len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), places.tolist(), strict=True)
    ]
    assert measure_recall(bundle, users, 10) == pytest.approx(np.mean(shares))


def test_an_index_of_another_model_is_refused(model, world, tmp_path):
    build_index(model, world.pins).save(tmp_path / "index")
    save_checkpoint(train(world, seed=1), tmp_path / "other")
    with pytest.raises(ValueError, match="the index was built by model"):
        load_bundle(tmp_path / "index", checkpoint=tmp_path / "other")
    save_checkpoint(model, tmp_path / "same")
    loaded = load_bundle(tmp_path / "index", checkpoint=tmp_path / "same")
    assert loaded.model_version == model.model_version


def test_a_damaged_bundle_is_refused(model, world, tmp_path):
    build_index(model, world.pins).save(tmp_path / "index")
    with (tmp_path / "index" / "index.faiss").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"index\.faiss: checksum is"):
        load_bundle(tmp_path / "index")


def test_one_row_per_pin_is_expected(model, world):
    with pytest.raises(ValueError, match="80 rows with 40 distinct ids"):
        build_index(model, pa.concat_tables([world.pins, world.pins]))


def test_wrong_queries_are_refused(model, world):
    bundle = build_index(model, world.pins)
    with pytest.raises(ValueError, match=r"\(n, 16\) is expected"):
        bundle.search(np.zeros((2, 3)), 5)
    with pytest.raises(ValueError, match="k is 0"):
        bundle.search(np.zeros((2, 16)), 0)


def test_a_folder_that_fails_leaves_the_old_one(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("kept")

    def fail():
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / "new").write_text("never seen")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["folder", "old"]
