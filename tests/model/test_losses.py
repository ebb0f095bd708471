"""Losses against hand arithmetic; which columns count, and whom the gradient reaches."""

import math

import numpy as np
import pytest
import torch

from convcg_model.losses import multi_positive_softmax, weighted_sampled_softmax
from convcg_model.positives import positive_pairs

USER = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
PIN = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
ONES = torch.ones(2)


def with_hard(*negatives: list[float]) -> torch.Tensor:
    """The two Pins, and hard negatives behind them."""
    return torch.cat([PIN, torch.tensor(negatives)])


def test_rows_are_a_softmax_over_the_batch():
    # Scores over temperature 0.5: row 0 [2, 1.2], row 1 [0, 1.6]
    loss = weighted_sampled_softmax(USER, pin_ND=PIN, weight_B=ONES, temperature=0.5)
    row_0 = math.log(math.exp(2.0) + math.exp(1.2)) - 2.0
    row_1 = math.log(math.exp(0.0) + math.exp(1.6)) - 1.6
    assert loss.row_loss_B.tolist() == pytest.approx([row_0, row_1])
    assert loss.loss.item() == pytest.approx((row_0 + row_1) / 2)


def test_each_positive_counts_by_its_weight():
    weight = torch.tensor([3.0, 0.5])
    loss = weighted_sampled_softmax(USER, pin_ND=PIN, weight_B=weight, temperature=1.0)
    row_0 = math.log(math.exp(1.0) + math.exp(0.6)) - 1.0
    row_1 = math.log(math.exp(0.0) + math.exp(0.8)) - 0.8
    assert loss.loss.item() == pytest.approx((3 * row_0 + 0.5 * row_1) / 2)


def test_sampling_correction_divides_in_batch_columns_by_their_expected_count():
    loss = weighted_sampled_softmax(
        USER,
        pin_ND=with_hard([0.0, 1.0]),
        weight_B=ONES,
        temperature=1.0,
        log_expected_count_B=torch.log(torch.tensor([0.5, 0.25])),
    )
    row_0 = -math.log(math.exp(1.0) / 0.5 / (math.exp(1.0) / 0.5 + math.exp(0.6) / 0.25 + 1))
    row_1 = -math.log(math.exp(0.8) / 0.25 / (1 / 0.5 + math.exp(0.8) / 0.25 + math.exp(1.0)))
    assert loss.row_loss_B.tolist() == pytest.approx([row_0, row_1])


def test_accidental_hits_leave_the_softmax_but_the_own_positive_never_does():
    everything = torch.ones(2, 2, dtype=torch.bool)
    loss = weighted_sampled_softmax(
        USER, pin_ND=PIN, weight_B=ONES, temperature=1.0, excluded_BN=everything
    )
    assert loss.row_loss_B.tolist() == [0.0, 0.0]


def test_excluded_hard_negatives_count_for_the_other_rows_only():
    loss = weighted_sampled_softmax(
        USER,
        pin_ND=with_hard([0.8, 0.6]),
        weight_B=ONES,
        temperature=1.0,
        excluded_BN=torch.tensor([[False, False, True], [False, False, False]]),
    )
    row_0 = math.log(math.exp(1.0) + math.exp(0.6)) - 1.0
    row_1 = math.log(math.exp(0.0) + math.exp(0.8) + math.exp(0.6)) - 0.8
    assert loss.row_loss_B.tolist() == pytest.approx([row_0, row_1])


def test_weight_zero_gives_no_gradient():
    user, pin = USER.clone().requires_grad_(), PIN.clone().requires_grad_()
    loss = weighted_sampled_softmax(user, pin_ND=pin, weight_B=torch.zeros(2), temperature=1.0).loss
    assert [bool(gradient.any()) for gradient in torch.autograd.grad(loss, [user, pin])] == [0, 0]


def test_a_row_of_weight_zero_teaches_its_user_nothing():
    user = USER.clone().requires_grad_()
    weight = torch.tensor([1.0, 0.0])
    loss = weighted_sampled_softmax(user, pin_ND=PIN, weight_B=weight, temperature=1.0).loss
    (gradient,) = torch.autograd.grad(loss, user)
    assert gradient.any(dim=1).tolist() == [True, False]


def test_hits_agree_with_a_set_of_pairs():
    generator = np.random.default_rng(3)
    user, pin = generator.integers(9, size=60), generator.integers(30, size=60)
    pairs = positive_pairs(user, pin, num_users=10)
    known = set(zip(user.tolist(), pin.tolist(), strict=True))
    rows, columns = np.arange(10), generator.integers(35, size=25)
    expected = [[(u, p) in known for p in columns.tolist()] for u in rows.tolist()]
    assert pairs.hits(rows, columns).tolist() == expected


def test_hits_of_no_columns():
    pairs = positive_pairs(np.array([0]), np.array([5]), num_users=1)
    assert pairs.hits(np.array([0]), np.zeros(0, dtype=int)).shape == (1, 0)


def test_gains_are_added_to_the_logits():
    gain_BN = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, -1.0]])
    loss = weighted_sampled_softmax(
        USER,
        pin_ND=with_hard([0.8, 0.6]),
        weight_B=ONES,
        temperature=0.5,
        gain_BN=gain_BN,
    )
    row_0 = math.log(math.exp(2.0) + math.exp(1.2 + 2.0) + math.exp(1.6)) - 2.0
    row_1 = math.log(math.exp(0.0) + math.exp(1.6) + math.exp(1.2 - 1.0)) - 1.6
    assert loss.row_loss_B.tolist() == pytest.approx([row_0, row_1])


def test_any_of_several_positives_will_do():
    loss = multi_positive_softmax(
        USER,
        pin_ND=torch.cat([PIN, torch.tensor([[0.0, 1.0]])]),
        positive_BN=torch.tensor([[True, True, False], [False, False, False]]),
        weight_B=torch.tensor([3.0, 5.0]),
        temperature=1.0,
        log_expected_count_N=torch.log(torch.tensor([1.0, 0.5, 0.25])),
    )
    # Row 0 over the expected counts: e, e^.6 / .5 and 1 / .25; row 1 has no positive.
    positives, all_columns = math.e + math.exp(0.6) / 0.5, math.e + math.exp(0.6) / 0.5 + 4
    assert loss.item() == pytest.approx(3 * -math.log(positives / all_columns) / 2)


def test_a_row_without_a_positive_has_a_finite_gradient():
    user = USER.clone().requires_grad_()
    loss = multi_positive_softmax(
        user,
        pin_ND=PIN,
        positive_BN=torch.zeros(2, 2, dtype=torch.bool),
        weight_B=ONES,
        temperature=0.1,
    )
    (gradient,) = torch.autograd.grad(loss, user)
    assert gradient.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def drawn(seed=0, *, num_rows=7, num_negatives=3, dim=5):
    """A batch drawn by chance, with every option of the loss."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)

    num_columns = num_rows + num_negatives
    return {
        "user_BD": normal(num_rows, dim),
        "pin_ND": normal(num_columns, dim),
        "weight_B": torch.rand(num_rows, generator=generator),
        "log_expected_count_B": -torch.rand(num_rows, generator=generator),
        "excluded_BN": torch.rand(num_rows, num_columns, generator=generator) < 0.3,
        "gain_BN": torch.randn(num_rows, num_columns, generator=generator),
    }


def softmax_loss(batch, *, temperature=0.3):
    others = {name: value for name, value in batch.items() if name != "user_BD"}
    return weighted_sampled_softmax(batch["user_BD"], temperature=temperature, **others)


def loss_by_loops(batch, *, temperature):
    """The same, written out column by column."""
    user, pin = batch["user_BD"].tolist(), batch["pin_ND"].tolist()
    total = 0.0
    for b in range(len(user)):
        own, terms = 0.0, []
        for j in range(len(pin)):
            logit = sum(x * y for x, y in zip(user[b], pin[j], strict=True)) / temperature
            logit += batch["gain_BN"][b, j].item()
            if j < len(user):  # in the batch, not a hard negative
                logit -= batch["log_expected_count_B"][j].item()
            if j == b:
                own = logit
            if j == b or not batch["excluded_BN"][b, j]:
                terms.append(math.exp(logit))
        total += batch["weight_B"][b].item() * (math.log(sum(terms)) - own)
    return total / len(user)


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_what_loops_say(seed):
    batch = drawn(seed)
    expected = loss_by_loops(batch, temperature=0.3)
    assert softmax_loss(batch).loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_permuted_batch_has_the_same_loss():
    batch = drawn()
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    columns = torch.cat([order, torch.arange(7, 10)])
    permuted = {name: value[order] for name, value in batch.items() if name != "pin_ND"}
    permuted["pin_ND"] = batch["pin_ND"][columns]
    for name in ("excluded_BN", "gain_BN"):
        permuted[name] = permuted[name][:, columns]
    assert softmax_loss(permuted).loss.item() == pytest.approx(softmax_loss(batch).loss.item())


def test_a_masked_column_changes_nothing():
    batch = drawn()
    batch["excluded_BN"][:, 7] = True
    before = softmax_loss(batch).row_loss_B
    batch["pin_ND"][7] = 100.0
    assert torch.equal(softmax_loss(batch).row_loss_B, before)


def test_weights_scale_gradients():
    batch = drawn()
    gradients = []
    for factor in (1.0, 3.0):
        user = batch["user_BD"].clone().requires_grad_()
        loss = softmax_loss(batch | {"user_BD": user, "weight_B": factor * batch["weight_B"]}).loss
        gradients.append(torch.autograd.grad(loss, user)[0])
    assert torch.allclose(gradients[1], 3 * gradients[0], atol=1e-6)
