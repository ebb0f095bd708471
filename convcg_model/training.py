"""The training loop: from training examples to a trained model."""

import copy
import hashlib
from collections import deque
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

from convcg_model.batch_loss import batch_loss
from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.course import Course, plan_course, settle
from convcg_model.determinism import choose_device, deterministic_torch, seed_torch
from convcg_model.features import FeatureSpec, count_pins
from convcg_model.losses import SoftmaxLoss
from convcg_model.partial_state import (
    load_partial_state,
    remove_partial_states,
    save_partial_state,
)
from convcg_model.read_ahead import ReadAhead
from convcg_model.repeat_rates import count_repeats
from convcg_model.sampling import ORDER, Batches
from convcg_model.towers import TwoTower
from convcg_model.trained_model import TrainedModel
from convcg_model.training_set import (
    TASKS,
    TrainingSet,
    count_positives,
    fit_catalogue_and_features,
    training_set,
)
from convcg_model.training_state import TrainingState, make_optimizer
from convcg_model.validation import (
    SCALES,
    Validation,
    choose_scale,
    hold_out_newest,
    is_better,
    validation_gains,
)

OnStep = Callable[[int, dict[str, float]], None]


def fit(
    examples: pa.Table,
    catalogue: pa.Table,
    *,
    config: ModelConfig,
    training: TrainingConfig,
    first_day: date | None = None,
    checkpoint_dir: Path | None = None,
    array_folder: Path | None = None,
    on_step: OnStep | None = None,
    progress: bool = True,
) -> TrainedModel:
    """Train on all rows of `examples` (see `select_split`), with the static Pins of `catalogue`.

    `first_day` is the log's: counters of its first month are relative to what could be counted.
    What the configs leave to `auto` is chosen by the log; the configs of the result hold numbers,
    and its `course` how they came about. The result depends on the rows, not on their order. With a
    `checkpoint_dir`, partial states are kept there, and a training that was killed goes on from
    the newest and ends in the same bytes. With an `array_folder` the encoded examples are files in
    it, and batches are read from there: together with `examples` that are mapped from a file
    (`example_file.py`) memory does not grow with their lists and features. The caller removes it.
    `on_step(step, metrics)` gets `loss`, `learning_rate`,
    for each task present in the batch `loss_conversion` and `loss_engagement` (cross-entropy,
    weighted mean), and after a look `validation`.

    Raises ValueError without positives or with unusable weights or columns, and FloatingPointError
    as soon as a loss is not finite.
    """
    device = choose_device(training.device)

    # What follows from the log
    pin_counts = count_pins(examples)["count"].to_pylist()
    config, training = settle(
        config, training, num_positives=count_positives(examples), pin_counts=pin_counts
    )
    static, spec = fit_catalogue_and_features(
        examples, catalogue, config=config, first_day=first_day
    )
    data = training_set(
        examples, static, spec, task_weights=training.task_weights, folder=array_folder
    )
    validation = None
    if training.epochs == "auto":
        validation = hold_out_newest(examples, data, training=training)
    known = validation.known if validation else None
    course = plan_course(
        len(data.positive), num_searched=len(known.positive) if known else 0, training=training
    )

    with deterministic_torch(device):
        # Model and optimiser
        torch.manual_seed(training.seed)
        network = TwoTower(spec, config).to(device)
        if network.repeats is not None:
            rates = count_repeats(known or data, seed=training.seed)
            network.repeats.start_from(recent=rates.recent, subject=rates.subject)
        averaged = copy.deepcopy(network).requires_grad_(False) if known else None
        state = TrainingState(network, make_optimizer(network, training), course, averaged)
        is_chosen = config.direction_scale == "auto" and network.has_more_than_directions
        scales = SCALES if is_chosen else (1.0,)

        # Resume
        step = 0
        fingerprint = _fingerprint(config, training, spec, data.digest())
        if checkpoint_dir is not None:
            saved = load_partial_state(checkpoint_dir, fingerprint=fingerprint)
            if saved is not None:
                state.load(saved)
                step = saved["step"]
                if not course.is_search(step):
                    network.direction_scale *= course.direction_scale

        # Steps
        network.train()
        last_losses: deque[float] = deque(maxlen=5)
        batches, ahead = Batches(training), ReadAhead(data)
        hidden = None if progress else True  # None: where there is no terminal.
        with tqdm(initial=step, unit="step", desc="train", disable=hidden) as bar:
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
                    network, rows_of, rows, step=step, config=config, training=training
                )
                value = loss.loss.item()
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
                torch.nn.utils.clip_grad_norm_(network.parameters(), training.max_gradient_norm)
                rate = course.learning_rate(step, training=training)
                for group in state.optimizer.param_groups:
                    group["lr"] = rate
                state.optimizer.step()
                if searching:
                    state.average(step)
                metrics = {"loss": value, "learning_rate": rate}
                metrics |= _task_losses(loss, rows_of, rows)
                step += 1

                # Look: the best weights so far are those to finish from
                if state.averaged and validation and course.is_look(step):
                    weight_V = validation.weight_V
                    gains_SV = validation_gains(state.averaged, validation, scales=scales)
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
                bar.total = course.total_steps
                bar.update()
                bar.set_postfix(loss=f"{value:.3f}", refresh=False)
                if on_step is not None:
                    on_step(step - 1, metrics)

                # Partial state
                if checkpoint_dir is not None and step % training.save_every_steps == 0:
                    save_partial_state(
                        checkpoint_dir, fingerprint=fingerprint, step=step, state=state.save()
                    )
    if checkpoint_dir is not None:
        remove_partial_states(checkpoint_dir, fingerprint=fingerprint)
    return TrainedModel(
        network=network.eval(),
        spec=spec,
        config=config.model_copy(update={"direction_scale": network.direction_scale}),
        training=training,
        static=static,
        course=_describe_course(course, validation, data=data),
    )


def _describe_course(
    course: Course, validation: Validation | None, *, data: TrainingSet
) -> dict[str, Any]:
    """How the training went, as JSON for whoever asks why."""
    return {
        "num_positives": len(data.positive),
        "num_conversions": int((data.task == TASKS.index("conversion")).sum()),
        "has_history": len(data.users.recent) > 1,
        "validation_curve": [list(look) for look in course.curve],
        "best_step": course.best_step if course.curve else None,
        "search_steps": course.search_end if course.curve else 0,
        "finish_steps": course.finish_steps,
        "ended_by_patience": bool(course.curve) and course.search_end != course.search_steps,
        "direction_scale": course.direction_scale if course.curve else None,
        "validation_queries": len(validation.query_V) if validation and course.curve else 0,
        "new_pin_share": round(validation.new_share, 4) if validation else None,
    }


def _task_losses(loss: SoftmaxLoss, data: TrainingSet, rows: np.ndarray) -> dict[str, float]:
    """Weighted mean cross-entropy of each task with weight in the batch."""
    row_loss, weight, task = (
        loss.row_loss_B.detach().cpu().numpy(),
        data.weight[rows],
        data.task[rows],
    )
    losses = {}
    for index, name in enumerate(TASKS):
        of_task = task == index
        if weight[of_task].sum() > 0:
            losses[f"loss_{name}"] = float(np.average(row_loss[of_task], weights=weight[of_task]))
    return losses


def _fingerprint(
    config: ModelConfig, training: TrainingConfig, spec: FeatureSpec, data_digest: str
) -> str:
    parts = [part.model_dump_json() for part in (config, training, spec)]
    parts.append(ORDER)
    return hashlib.sha256("\n".join([*parts, data_digest]).encode()).hexdigest()[:16]
