"""The towers' arithmetic, and that every parameter learns."""

import math

import numpy as np
import pytest
import torch

from convcg_model.batch_loss import batch_loss
from convcg_model.config import ModelConfig, TaskWeights, TrainingConfig
from convcg_model.encoding import pin_batch, user_batch
from convcg_model.history import Actions, HistoryPooling, one_of_few
from convcg_model.towers import CrossNetwork, Tower, TwoTower
from convcg_model.training_set import fit_catalogue_and_features, training_set
from convcg_model.vocabulary import Vocabulary

SIZED = TrainingConfig(batch_size=256, hard_negatives_per_batch=64, epochs=1)


def test_cross_layer_is_the_formula():
    cross = CrossNetwork(2, num_layers=1)
    with torch.no_grad():
        cross.get_parameter("layers.0.weight").copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        cross.get_parameter("layers.0.bias").copy_(torch.tensor([0.5, -1.0]))
    # x0 * (W x0 + b) + x0 for x0 = (2, 3)
    expected = [2 * (1 * 2 + 2 * 3 + 0.5) + 2, 3 * (3 * 2 + 4 * 3 - 1.0) + 3]
    assert cross(torch.tensor([[2.0, 3.0]])).tolist() == [expected]


@pytest.mark.parametrize(
    ("kind", "head_size"), [("parallel", 4 + 5), ("sequential", 4), ("dcn", 5), ("mlp", 4)]
)
def test_head_reads_both_or_what_there_is(kind, head_size):
    tower = Tower(5, ModelConfig(tower=kind, mlp_sizes=(8, 4)), size=3)
    assert tower.head.in_features == head_size
    assert tower(torch.randn(7, 5)).shape == (7, 3)


@pytest.mark.parametrize("has_prior", [True, False])
def test_embeddings_have_length_one_but_for_the_prior(world, has_prior):
    config = ModelConfig(id_dropout=0.5, min_pin_count=1, pin_prior=has_prior, embedding_dim=8)
    network, data = build(world, config)
    user_BD = network.embed_users(user_batch(data.users, data.catalogue, np.arange(7)))
    batch = pin_batch(data.pins, data.catalogue, np.arange(7))
    if network.prior is not None:
        torch.nn.init.ones_(network.prior.weight)
    pin_BD = network.embed_pins(batch)
    assert user_BD.shape == pin_BD.shape == (7, 8)
    if has_prior:
        assert user_BD[:, -1].tolist() == [1.0] * 7
        prior = config.temperature * batch.numeric_NF.sum(dim=1)
        assert pin_BD[:, -1].tolist() == pytest.approx(prior.tolist(), rel=1e-5)
        user_BD, pin_BD = user_BD[:, :-1], pin_BD[:, :-1]
    for embedding in (user_BD, pin_BD):
        assert embedding.norm(dim=1).tolist() == pytest.approx([1.0] * 7)


def test_history_is_a_weighted_mean_and_zero_without_actions():
    clicks = Vocabulary(kind="string", values=("click",))
    pooling = HistoryPooling(clicks, item_size=1, num_pools=2, longest=2)
    actions = Actions(
        item_BLX=torch.tensor([[[6.0], [12.0]], [[0.0], [0.0]]]),
        present_BL=torch.tensor([[True, True], [False, False]]),
        kind_BLA=one_of_few(torch.tensor([[2, 2], [0, 0]]), 3),
        age_BL=torch.tensor([[0.0, 1.0], [0.0, 0.0]]),
    )
    pooled = pooling(actions, actions.means(pooling.scores(actions)))
    # Decay 0: plain mean. Decay 2: 1 / (1 + age)^2, so 1 and 1/4.
    assert pooled[0, :2].tolist() == pytest.approx([9.0, (6 + 12 / 4) / (1 + 1 / 4)])
    assert pooled[0, 2].item() == pytest.approx(math.log(3) / math.log(4))
    assert pooled[1].tolist() == [0.0, 0.0, 0.0]


def test_a_person_is_the_same_whoever_else_is_asked_about(world):
    """The longest history of a batch changes no row."""
    network, data = build(world, ModelConfig(id_dropout=0.1, min_pin_count=1, embedding_dim=8))
    network.eval()
    rows = np.argsort(np.diff(data.users.recent_starts), kind="stable")[[0, 1, -2, -1]]

    def embed(rows):
        with torch.inference_mode():
            return network.embed_users(user_batch(data.users, data.catalogue, rows)).numpy()

    alone = np.concatenate([embed(row[None]) for row in rows])
    assert embed(rows) == pytest.approx(alone, abs=1e-6)


SWITCHES = [
    {"tower": "sequential"},
    {"tower": "dcn"},
    {"tower": "mlp"},
    {"history": "none"},
    {"history": "transformer"},
    {"head": "multi"},
    {"advertiser_loss": "in_batch"},
    {"advertiser_loss": "embedding"},
    {"item_space": False},
    {"pin_prior": False},
    {"repeat_score": False},
    {"hashed_ids": False, "min_pin_count": 30},
    {"hashed_ids": True, "min_pin_count": 30},
]
TRAINING_SWITCHES = [
    {"hard_negatives_per_batch": 0},
    {"hard_negative_scope": "user"},
    {"logq_correction": False},
    {"task_weights": TaskWeights(conversion=1.0, engagement=0.2)},
]


def build(world, config):
    static, spec = fit_catalogue_and_features(world.examples, world.pins, config=config)
    data = training_set(world.examples, static, spec, task_weights=TaskWeights())
    return TwoTower(spec, config), data


@pytest.mark.parametrize("switch", [{}, *SWITCHES], ids=str)
def test_every_parameter_gets_a_gradient(world, switch):
    config = ModelConfig.model_validate(
        {"dropout": 0.1, "id_dropout": 0.5, "min_pin_count": 2} | switch
    )
    network, data = build(world, config)
    rows = np.arange(len(data.positive))
    batch_loss(network, data, rows, step=0, config=config, training=SIZED).loss.backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("switch", TRAINING_SWITCHES, ids=str)
def test_every_parameter_gets_a_gradient_however_it_is_trained(world, switch):
    config = ModelConfig(id_dropout=0.5, min_pin_count=2)
    network, data = build(world, config)
    rows = np.arange(len(data.positive))
    training = SIZED.model_copy(update=switch)
    batch_loss(network, data, rows, step=0, config=config, training=training).loss.backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
