"""Losses against hand arithmetic; which columns count, and whom the gradient reaches."""

import math

import numpy as np
import pytest
import torch

from convcg_model.losses import weighted_sampled_softmax
from convcg_model.positives import positive_pairs

USER = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
PIN = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
ONES = torch.ones(2)


def test_rows_are_a_softmax_over_the_batch():
    # Scores over temperature 0.5: row 0 [2, 1.2], row 1 [0, 1.6]
    loss = weighted_sampled_softmax(USER, pin_BD=PIN, weight_B=ONES, temperature=0.5)
    row_0 = math.log(math.exp(2.0) + math.exp(1.2)) - 2.0
    row_1 = math.log(math.exp(0.0) + math.exp(1.6)) - 1.6
    assert loss.row_loss_B.tolist() == pytest.approx([row_0, row_1])
    assert loss.loss.item() == pytest.approx((row_0 + row_1) / 2)


def test_each_positive_counts_by_its_weight():
    weight = torch.tensor([3.0, 0.5])
    loss = weighted_sampled_softmax(USER, pin_BD=PIN, weight_B=weight, temperature=1.0)
    row_0 = math.log(math.exp(1.0) + math.exp(0.6)) - 1.0
    row_1 = math.log(math.exp(0.0) + math.exp(0.8)) - 0.8
    assert loss.loss.item() == pytest.approx((3 * row_0 + 0.5 * row_1) / 2)


def test_sampling_correction_divides_in_batch_columns_by_their_expected_count():
    hard = torch.tensor([[0.0, 1.0]])
    loss = weighted_sampled_softmax(
        USER,
        pin_BD=PIN,
        hard_negative_HD=hard,
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
        USER, pin_BD=PIN, weight_B=ONES, temperature=1.0, accidental_hit_BB=everything
    )
    assert loss.row_loss_B.tolist() == [0.0, 0.0]


def test_excluded_hard_negatives_count_for_the_other_rows_only():
    loss = weighted_sampled_softmax(
        USER,
        pin_BD=PIN,
        hard_negative_HD=torch.tensor([[0.8, 0.6]]),
        weight_B=ONES,
        temperature=1.0,
        excluded_BH=torch.tensor([[True], [False]]),
    )
    row_0 = math.log(math.exp(1.0) + math.exp(0.6)) - 1.0
    row_1 = math.log(math.exp(0.0) + math.exp(0.8) + math.exp(0.6)) - 0.8
    assert loss.row_loss_B.tolist() == pytest.approx([row_0, row_1])


def test_no_hard_negatives_is_the_same_as_none_drawn():
    without = weighted_sampled_softmax(USER, pin_BD=PIN, weight_B=ONES, temperature=1.0)
    none_drawn = weighted_sampled_softmax(
        USER, pin_BD=PIN, hard_negative_HD=torch.zeros(0, 2), weight_B=ONES, temperature=1.0
    )
    assert none_drawn.loss.item() == without.loss.item()


def test_weight_zero_gives_no_gradient():
    user, pin = USER.clone().requires_grad_(), PIN.clone().requires_grad_()
    loss = weighted_sampled_softmax(user, pin_BD=pin, weight_B=torch.zeros(2), temperature=1.0).loss
    assert [bool(gradient.any()) for gradient in torch.autograd.grad(loss, [user, pin])] == [0, 0]


def test_a_row_of_weight_zero_teaches_its_user_nothing():
    user = USER.clone().requires_grad_()
    weight = torch.tensor([1.0, 0.0])
    loss = weighted_sampled_softmax(user, pin_BD=PIN, weight_B=weight, temperature=1.0).loss
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
