"""The training loop: steps, looks and partial states, on one process or as one of several ranks."""

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from convcg_model.batch_loss import batch_loss
from convcg_model.course import Course
from convcg_model.determinism import deterministic_torch, seed_torch
from convcg_model.partial_state import load_partial_state, save_partial_state
from convcg_model.preparation import Prepared
from convcg_model.ranks import ALONE, Ranks
from convcg_model.read_ahead import ReadAhead
from convcg_model.sampling import Batches
from convcg_model.sharded_tables import shard_tables, whole_network
from convcg_model.shared_gradients import clip_gradients, replicated, share_gradients
from convcg_model.towers import TwoTower
from convcg_model.training_set import TASKS, TrainingSet
from convcg_model.training_state import TrainingState, make_optimizer
from convcg_model.validation import SCALES, choose_scale, is_better, validation_gains

Report = Callable[[int, int, dict[str, float]], None]
"""Gets a step, how many there are as far as can be said, and its metrics."""


@dataclass(frozen=True)
class Trained:
    """A network after its training, and the course that this took."""

    network: TwoTower
    course: Course


def train(
    prepared: Prepared,
    *,
    device: torch.device,
    report: Report,
    checkpoint_dir: Path | None = None,
    ranks: Ranks = ALONE,
) -> Trained:
    """All steps, from the newest partial state of `checkpoint_dir` on, if there is one.

    Every rank has the same weights and takes the same decisions; the first alone writes, and asks
    the newest positives. Raises as `fit`, on all ranks.
    """
    config, training, course = prepared.config, prepared.training, prepared.course
    data, validation = prepared.data, prepared.validation
    known = validation.known if validation else None

    with deterministic_torch(device):
        # Model and optimiser
        torch.manual_seed(training.seed)
        network = TwoTower(prepared.spec, config).to(device)
        if network.repeats is not None:
            rates = prepared.repeats
            network.repeats.start_from(recent=rates.recent, subject=rates.subject)
        shard_tables(network, ranks, min_rows=training.sharded_rows)
        averaged = copy.deepcopy(network).requires_grad_(False) if known else None
        state = TrainingState(network, make_optimizer(network, training), course, averaged)
        is_chosen = config.direction_scale == "auto" and network.has_more_than_directions
        scales = SCALES if is_chosen else (1.0,)

        # Resume
        step = 0
        if checkpoint_dir is not None:
            saved = load_partial_state(checkpoint_dir, fingerprint=prepared.fingerprint)
            if saved is not None:
                state.load(saved)
                step = saved["step"]
                if not course.is_search(step):
                    network.direction_scale *= course.direction_scale

        # Steps
        network.train()
        last_losses: deque[float] = deque(maxlen=5)
        batches, ahead = Batches(training, ranks), ReadAhead(data)
        while step < course.total_steps:
            # Batch
            searching = course.is_search(step)
            rows_of = known if known and searching else data
            num_positives = len(rows_of.positive)
            rows = batches.at(step, num_positives=num_positives)
            ahead.rows(rows_of.positive[batches.soon(step, num_positives=num_positives)])

            # Loss
            seed_torch((training.seed << 32) + step, device)
            loss = batch_loss(
                network, rows_of, rows, step=step, config=config, training=training, ranks=ranks
            )
            value = ranks.total(loss.loss).item()
            if not np.isfinite(value):
                raise FloatingPointError(
                    f"loss is {value} at step {step} of {course.total_steps}; before it: "
                    f"{list(last_losses)}. A lower learning_rate or smaller label weights "
                    "may help"
                )
            last_losses.append(value)

            # Update
            state.optimizer.zero_grad(set_to_none=True)
            loss.loss.backward()
            share_gradients(network, ranks)
            clip_gradients(network, ranks, max_norm=training.max_gradient_norm)
            rate = course.learning_rate(step, training=training)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            state.optimizer.step()
            if searching:
                state.average(step)
            row_loss_B = ranks.gather(loss.row_loss_B.detach(), ranks.parts(len(rows)))
            metrics = {"loss": value, "learning_rate": rate}
            metrics |= _task_losses(row_loss_B.cpu().numpy(), rows_of, rows)
            step += 1

            # Look: the best weights so far are those to finish from
            if state.averaged and validation and course.is_look(step):
                weight_V = validation.weight_V
                judged, gains_SV = whole_network(state.averaged, prepared.spec, config), None
                if ranks.rank == 0:
                    gains_SV = validation_gains(judged, validation, scales=scales)
                gains_SV = ranks.of_first(gains_SV, shape=(len(scales), len(weight_V)))
                at = choose_scale(gains_SV, weight_V=weight_V)
                gains, scale = gains_SV[at], scales[at]
                metrics["validation"] = float(gains @ weight_V)
                better = is_better(gains, than=state.best_gains, weight_V=weight_V)
                if better:
                    state.keep_best(gains)
                ends = course.look(
                    step, metrics["validation"], is_better=better, direction_scale=scale
                )
                if ends:
                    state.restore_best()
                    network.direction_scale *= course.direction_scale

            # Report
            if ranks.rank == 0:
                report(step - 1, course.total_steps, metrics)

            # Partial state
            if checkpoint_dir is not None and step % training.save_every_steps == 0:
                ranks.check_same(replicated(network))
                saved = state.save()
                if ranks.rank == 0:
                    save_partial_state(
                        checkpoint_dir, fingerprint=prepared.fingerprint, step=step, state=saved
                    )
        ranks.check_same(replicated(network))
        network = whole_network(network, prepared.spec, config)
    return Trained(network, course)


def _task_losses(row_loss: np.ndarray, data: TrainingSet, rows: np.ndarray) -> dict[str, float]:
    """Weighted mean cross-entropy of each task with weight in the batch."""
    weight, task = data.weight[rows], data.task[rows]
    losses = {}
    for index, name in enumerate(TASKS):
        of_task = task == index
        if weight[of_task].sum() > 0:
            losses[f"loss_{name}"] = float(np.average(row_loss[of_task], weights=weight[of_task]))
    return losses
