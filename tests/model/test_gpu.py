"""Training on a GPU, where there is one: it learns, repeats itself to the byte, and goes on."""

import numpy as np
import pytest
import torch

from convcg_model.checkpoint import load_checkpoint, save_checkpoint

from .test_training import SHORT, SMALL, KilledError, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
ON_GPU = SHORT.model_copy(update={"device": "cuda"})


def test_losses_are_those_of_the_cpu(world):
    """No dropout: the devices draw from generators of their own."""
    config = SMALL.model_copy(update={"dropout": 0.0, "id_dropout": 0.0})
    found = []
    for training in (SHORT, ON_GPU):
        seen: list[float] = []
        train(
            world,
            config=config,
            training=training,
            on_step=lambda _, metrics, seen=seen: seen.append(metrics["loss"]),
        )
        found.append(seen)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)


def test_same_seed_same_bytes(world):
    first, second = (train(world, training=ON_GPU).model_version for _ in range(2))
    assert first == second


def test_killed_and_resumed_ends_in_the_same_bytes(world, tmp_path):
    training = ON_GPU.model_copy(update={"save_every_steps": 2})
    config = SMALL.model_copy(update={"dropout": 0.2})

    def die_at_step_5(step, _):
        if step == 5:
            raise KilledError

    given = {"config": config, "training": training}
    with pytest.raises(KilledError):
        train(world, **given, checkpoint_dir=tmp_path, on_step=die_at_step_5)
    resumed = train(world, **given, checkpoint_dir=tmp_path)
    assert resumed.model_version == train(world, **given).model_version


def test_a_model_of_the_gpu_is_read_without_one(world, tmp_path):
    model = train(world, training=ON_GPU)
    save_checkpoint(model, tmp_path / "model", provenance={})
    loaded = load_checkpoint(tmp_path / "model")
    rows = world.examples.slice(0, 50)
    on_gpu, on_cpu = model.embed_users(rows), loaded.embed_users(rows)
    np.testing.assert_allclose(np.asarray(on_gpu), np.asarray(on_cpu), atol=1e-5)


@pytest.mark.parametrize("history", ["none", "pools", "transformer"])
@pytest.mark.parametrize("tower", ["parallel", "sequential"])
def test_every_setting_runs(world, history, tower):
    config = SMALL.model_copy(update={"history": history, "tower": tower})
    assert train(world, config=config, training=ON_GPU).model_version


@pytest.mark.torchrun
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two GPUs")
def test_two_gpus_give_the_losses_of_one(world):
    config = SMALL.model_copy(update={"dropout": 0.2})
    found = []
    for processes in (1, 2):
        seen: list[float] = []
        train(
            world,
            config=config,
            training=ON_GPU.model_copy(update={"processes": processes, "sharded_rows": 3}),
            on_step=lambda _, metrics, seen=seen: seen.append(metrics["loss"]),
        )
        found.append(seen)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)


@pytest.mark.torchrun
def test_more_processes_than_gpus_are_refused(world):
    many = ON_GPU.model_copy(update={"processes": torch.cuda.device_count() + 1})
    with pytest.raises(ValueError, match="each process needs one of its own"):
        train(world, training=many)
