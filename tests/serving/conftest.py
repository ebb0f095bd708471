"""A champion of the checkerboard world: its bundle, and the features of a day."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.index import build_index
from convcg_model.training import fit
from convcg_serving.champion import Champion
from convcg_serving.day_features import write_day_features

from ..model.conftest import World

DAY = dt.date(2026, 1, 5)
NOW = dt.datetime(2026, 1, 5, 15, tzinfo=dt.UTC)
SMALL = ModelConfig(embedding_dim=16, mlp_sizes=(16, 16, 16), pin_id_dim=8, content_dim=4)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_champion(world: World, folder: Path, *, version: str, seed: int = 0) -> Champion:
    training = TrainingConfig(epochs=2, batch_size=200, seed=seed, device="cpu")
    model = fit(world.examples, world.pins, config=SMALL, training=training, progress=False)
    bundle = build_index(model, world.pins)
    bundle.save(folder / f"bundle{version}", provenance={"day": str(DAY)})
    return Champion(version, DAY, model.model_version, folder / f"bundle{version}")


def users_of(examples: pa.Table, num: int) -> pa.Table:
    """The first examples as users of their own: `user_id` is the number of the row."""
    rows = examples.slice(0, num)
    is_text = pa.types.is_string(examples["user_id"].type)
    ids = [f"u{i:05}" if is_text else i for i in range(num)]
    named = {n.removeprefix("user_"): rows[n] for n in rows.column_names if n != "user_id"}
    of_user = {n: c for n, c in named.items() if f"user_{n}" in rows.column_names}
    return pa.table({"user_id": ids, **of_user}).combine_chunks()


def write_features(world: World, root: Path, *, day: dt.date = DAY, num: int = 50) -> Path:
    users = users_of(world.examples, num)
    path = root / f"dt={day}"
    batches = users.to_batches(max_chunksize=7)
    write_day_features(path, batches, world.pins, day=day, schema=users.schema)
    return path


@pytest.fixture(scope="session")
def world():
    return World()


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="session")
def champion(world, home):
    return make_champion(world, home, version="1")


@pytest.fixture(scope="session")
def challenger(world, home):
    return make_champion(world, home, version="2", seed=1)


@pytest.fixture(scope="session")
def features(world, home):
    return write_features(world, home / "features")
