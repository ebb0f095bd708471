"""The loop learns, repeats itself to the byte, survives being killed, and stops when it must."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.determinism import has_bf16, settle_precision
from convcg_model.training import fit
from convcg_model.training_set import select_split

SMALL = ModelConfig(
    embedding_dim=16, mlp_sizes=(16, 16, 16), pin_id_dim=8, content_dim=4, id_dropout=0.1
)
SHORT = TrainingConfig(epochs=2, batch_size=100, hard_negatives_per_batch=20, device="cpu")
CPU = torch.device("cpu")


class KilledError(Exception):
    pass


def train(world, *, examples=None, config=SMALL, training=SHORT, **options):
    examples = world.examples if examples is None else examples
    return fit(examples, world.pins, config=config, training=training, progress=False, **options)


@pytest.mark.parametrize("scope", ["batch", "user"])
@pytest.mark.parametrize("sparse", [True, False])
def test_learns_the_checkerboard(make_world, sparse, scope):
    world = make_world(sparse=sparse, string_ids=sparse)
    training = SHORT.model_copy(update={"epochs": 25, "hard_negative_scope": scope})
    losses = []
    model = train(world, training=training, on_step=lambda _, metrics: losses.append(metrics))
    scores = model.embed_users(world.examples) @ model.embed_pins(world.pins).T
    parity = np.array(
        [int(str(u).removeprefix("u")) % 2 for u in world.examples["user_id"].to_pylist()]
    )
    best = np.argsort(-scores, axis=1)[:, :10]
    assert ((best % 2) == parity[:, None]).mean() > (0.9 if sparse else 0.7)
    assert losses[-1]["loss"] < 0.85 * losses[0]["loss"]
    assert set(losses[0]) == {"loss", "learning_rate", "loss_conversion", "loss_engagement"}


@pytest.mark.parametrize(
    "switch",
    [
        {"tower": "sequential"},
        {"tower": "dcn"},
        {"tower": "mlp"},
        {"history": "none"},
        {"history": "transformer", "transformer_dim": 16},
        {"head": "multi"},
        {"advertiser_loss": "in_batch"},
        {"advertiser_loss": "embedding"},
        {"item_space": False},
        {"repeat_score": False},
    ],
    ids=str,
)
def test_learns_the_checkerboard_in_every_setting(world, switch):
    config = ModelConfig.model_validate(SMALL.model_dump() | switch)
    model = train(world, config=config, training=SHORT.model_copy(update={"epochs": 25}))
    scores = model.embed_users(world.examples) @ model.embed_pins(world.pins).T
    parity = world.examples["user_id"].to_numpy() % 2
    best = np.argsort(-scores, axis=1)[:, :10]
    assert ((best % 2) == parity[:, None]).mean() > 0.65


def test_wider_towers_embed_and_repeat_as_wide_as_asked(world):
    wide = ModelConfig(
        embedding_dim=128, mlp_sizes=(512, 256, 128), pin_id_dim=128, cross_layers=4, id_dropout=0.1
    )
    model = train(world, config=wide, training=SHORT.model_copy(update={"epochs": 4}))
    user_BD, pin_ND = model.embed_users(world.examples), model.embed_pins(world.pins)
    assert (user_BD.shape[1], pin_ND.shape[1]) == (128, 128)
    tower = model.network.pin_tower
    assert tower.cross is not None
    crossed = tower.cross.get_parameter("layers.3.weight").shape[0]
    assert tower.head.in_features == crossed + wide.mlp_sizes[-1]
    best = np.argsort(-(user_BD @ pin_ND.T), axis=1)[:, :10]
    parity = world.examples["user_id"].to_numpy() % 2
    assert ((best % 2) == parity[:, None]).mean() > 0.65
    assert len(model.repeats(world.examples).gain) > 0


def test_same_seed_same_bytes_whatever_the_row_order(world):
    shuffled = world.examples.take(np.random.default_rng(1).permutation(world.examples.num_rows))
    version = train(world).model_version
    assert train(world, examples=shuffled).model_version == version
    other_seed = SHORT.model_copy(update={"seed": 1})
    assert train(world, training=other_seed).model_version != version


def test_killed_and_resumed_ends_in_the_same_bytes(world, tmp_path):
    training = SHORT.model_copy(update={"save_every_steps": 2})
    config = SMALL.model_copy(update={"dropout": 0.2})
    steps = []

    def die_at_step_5(step, _):
        steps.append(step)
        if step == 5:
            raise KilledError

    with pytest.raises(KilledError):
        train(
            world, config=config, training=training, checkpoint_dir=tmp_path, on_step=die_at_step_5
        )
    assert [path.name[-12:] for path in tmp_path.iterdir()] == ["000000004.pt"]
    resumed = train(
        world,
        config=config,
        training=training,
        checkpoint_dir=tmp_path,
        on_step=lambda step, _: steps.append(step),
    )
    assert steps == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9]
    assert resumed.model_version == train(world, config=config, training=training).model_version
    assert list(tmp_path.iterdir()) == []


def test_partial_states_of_another_training_are_left_alone(world, tmp_path):
    training = SHORT.model_copy(update={"save_every_steps": 3})

    def die(step, _):
        if step == 4:
            raise KilledError

    with pytest.raises(KilledError):
        train(world, training=training, checkpoint_dir=tmp_path, on_step=die)
    left = list(tmp_path.iterdir())
    steps = []
    train(world, checkpoint_dir=tmp_path, on_step=lambda step, _: steps.append(step))
    assert steps[0] == 0
    assert list(tmp_path.iterdir()) == left


def test_a_loss_that_is_not_finite_stops_the_training(world):
    weight = world.examples["weight"].to_numpy().copy()
    weight[:] = 1e-300
    weight[np.flatnonzero(~world.examples["is_negative"].to_numpy())[0]] = 1e300
    place = world.examples.column_names.index("weight")
    huge = world.examples.set_column(place, "weight", pa.array(weight))
    # Temperature so low that the scores overflow float32
    config = SMALL.model_copy(update={"temperature": 1e-45})
    with pytest.raises(FloatingPointError, match=r"loss is (nan|inf) at step 0 of 10"):
        train(world, examples=huge, config=config)


def test_without_positives_there_is_nothing_to_learn(world):
    negatives = world.examples.filter(world.examples["is_negative"])
    with pytest.raises(ValueError, match="no positives among"):
        train(world, examples=negatives)


def test_without_hard_negatives_or_of_one_task(world):
    is_conversion = pc.equal(world.examples["task"], "conversion")
    model = train(world, examples=world.examples.filter(is_conversion))
    assert model.embed_pins(world.pins).shape == (40, 16)


@pytest.mark.parametrize("bad", [-1.0, float("nan"), None])
def test_bad_weights_are_named(world, bad):
    weight = world.examples["weight"].to_pylist()
    row = world.examples["is_negative"].to_pylist().index(False)
    weight[row] = bad
    place = world.examples.column_names.index("weight")
    examples = world.examples.set_column(place, "weight", pa.array(weight, pa.float64()))
    with pytest.raises(ValueError, match=rf"1 positives have a weight .* impression {row}"):
        train(world, examples=examples)


def test_a_row_of_no_task_is_refused(world):
    task = pa.array(["purchase"] * world.examples.num_rows)
    place = world.examples.column_names.index("task")
    with pytest.raises(ValueError, match="'purchase'; tasks are conversion, engagement"):
        train(world, examples=world.examples.set_column(place, "task", task))


def test_split_is_selected_by_name(world):
    assert select_split(world.examples, "train").num_rows == world.examples.num_rows
    assert select_split(world.examples, "holdout").num_rows == 0


def test_pins_newer_than_the_model_count_in_histories_when_given(world):
    model = train(world)
    users = world.examples.slice(0, 5)
    place = users.column_names.index("user_recent_pin_ids")
    lengths = [len(row) for row in users["user_recent_pin_ids"].to_pylist()]
    users = users.set_column(place, "user_recent_pin_ids", pa.array([[999] * n for n in lengths]))
    new_pin = world.pins.slice(3, 1).set_column(0, "pin_id", pa.array([999]))
    known = model.embed_users(users, catalogue=new_pin)
    assert np.abs(known - model.embed_users(users)).max() > 1e-3


def test_a_model_reads_the_content_of_one_encoder(world):
    """Of a catalogue that is being encoded anew, Pins of the other encoder have no content."""
    versions = ["new" if row % 3 else "old" for row in range(world.pins.num_rows)]
    content = [
        row if version == "new" else [9.0] * 7
        for row, version in zip(world.content.tolist(), versions, strict=True)
    ]
    place = world.pins.column_names.index("content")
    mixed = world.pins.set_column(place, "content", pa.array(content))
    mixed = mixed.append_column("content_version", pa.array(versions))
    bare = [row if len(row) == 4 else None for row in content]
    model = fit(world.examples, mixed, config=SMALL, training=SHORT, progress=False)
    assert (model.spec.content_version, model.spec.content_size) == ("new", 4)
    without = mixed.set_column(place, "content", pa.array(bare, pa.list_(pa.float64())))
    assert np.array_equal(model.embed_pins(mixed), model.embed_pins(without))
    unread = mixed.set_column(place, "content", pa.nulls(len(bare), pa.list_(pa.float64())))
    assert not np.array_equal(model.embed_pins(mixed), model.embed_pins(unread))


@pytest.mark.skipif(not has_bf16(CPU), reason="this processor has no bf16")
def test_bf16_is_near_float32_and_keeps_weights_as_they_were(world):
    bf16 = SHORT.model_copy(update={"precision": "bf16"})
    seen: dict[str, list[float]] = {"float32": [], "bf16": []}
    models = {
        training.precision: train(
            world,
            training=training,
            on_step=lambda _, metrics, of=seen[training.precision]: of.append(metrics["loss"]),
        )
        for training in (SHORT, bf16)
    }
    np.testing.assert_allclose(seen["bf16"], seen["float32"], rtol=0.02)
    assert seen["bf16"] != seen["float32"]
    assert {w.dtype for w in models["bf16"].network.state_dict().values()} == {torch.float32}
    assert models["bf16"].model_version == train(world, training=bf16).model_version
    auto = train(world, training=SHORT.model_copy(update={"precision": "auto"}))
    assert auto.training.precision == "bf16"
    assert auto.model_version == models["bf16"].model_version


def test_bf16_is_refused_where_there_is_none(world, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    with pytest.raises(ValueError, match="this cpu multiplies no bf16: use auto or float32"):
        train(world, training=SHORT.model_copy(update={"precision": "bf16"}))
    auto = SHORT.model_copy(update={"precision": "auto"})
    assert settle_precision(auto, CPU).precision == "float32"
