"""The towers learn what comes next from the training items alone."""

import numpy as np
import pytest
import torch

from benchmarks.bench_public import TRAINING, metrics, train
from benchmarks.leave_one_out import TEST, ranks


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_towers_learn_a_cycle():
    sequences = [(start + np.arange(6)) % 12 + 1 for start in range(12) for _ in range(3)]
    training = TRAINING.model_copy(update={"epochs": 12, "batch_size": 54})
    score, curve = train(sequences, training=training)
    assert len(curve) == 12
    rank_Q = ranks(score, sequences, np.arange(len(sequences)), hidden=TEST)
    assert (rank_Q == 1).mean() > 0.9
    assert metrics(rank_Q)["ndcg_10"] > 0.9
