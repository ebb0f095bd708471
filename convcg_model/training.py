"""The training loop: from training examples to a trained model."""

import hashlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.determinism import choose_device, deterministic_torch
from convcg_model.encoding import pin_batch, user_batch
from convcg_model.features import FeatureSpec
from convcg_model.losses import SoftmaxLoss, weighted_sampled_softmax
from convcg_model.partial_state import (
    load_partial_state,
    remove_partial_states,
    save_partial_state,
)
from convcg_model.sampling import epoch_batches, num_steps
from convcg_model.towers import TwoTower
from convcg_model.trained_model import TrainedModel
from convcg_model.training_set import TASKS, TrainingSet, fit_catalogue_and_features, training_set

OnStep = Callable[[int, dict[str, float]], None]


def fit(
    examples: pa.Table,
    catalogue: pa.Table,
    *,
    config: ModelConfig,
    training: TrainingConfig,
    checkpoint_dir: Path | None = None,
    on_step: OnStep | None = None,
    progress: bool = True,
) -> TrainedModel:
    """Train on all rows of `examples` (see `select_split`), with the static Pins of `catalogue`.

    The result depends on the rows, not on their order. With a `checkpoint_dir`, partial states are
    kept there, and a training that was killed goes on from the newest and ends in the same bytes.
    `on_step(step, metrics)` gets `loss`, `learning_rate` and, for each task present in the batch,
    `loss_conversion` and `loss_engagement` (cross-entropy, weighted mean).

    Raises ValueError without positives or with unusable weights or columns, and FloatingPointError
    as soon as a loss is not finite.
    """
    device = choose_device(training.device)
    static, spec = fit_catalogue_and_features(examples, catalogue, config=config)
    data = training_set(examples, static, spec, task_weights=training.task_weights)
    with deterministic_torch(device):
        # Model and optimiser
        torch.manual_seed(training.seed)
        network = TwoTower(spec, config).to(device)
        optimizer = _optimizer(network, training)
        steps_per_epoch = num_steps(len(data.positive), batch_size=training.batch_size)
        total_steps = training.epochs * steps_per_epoch

        # Resume
        first_step = 0
        fingerprint = _fingerprint(config, training, spec, data.digest())
        if checkpoint_dir is not None:
            state = load_partial_state(checkpoint_dir, fingerprint=fingerprint)
            if state is not None:
                network.load_state_dict(state["network"])
                optimizer.load_state_dict(state["optimizer"])
                first_step = state["step"]

        # Steps
        network.train()
        last_losses: deque[float] = deque(maxlen=5)
        batches: list[np.ndarray] = []
        bar = tqdm(
            total=total_steps, initial=first_step, unit="step", desc="train", disable=not progress
        )
        with bar:
            for step in range(first_step, total_steps):
                # Batch
                epoch, position = divmod(step, steps_per_epoch)
                if position == 0 or not batches:
                    batches = epoch_batches(
                        len(data.positive),
                        batch_size=training.batch_size,
                        seed=training.seed,
                        epoch=epoch,
                    )
                rows = batches[position]

                # Loss
                torch.manual_seed((training.seed << 32) + step)
                loss = _batch_loss(network, data, rows, step=step, config=config, training=training)
                value = loss.loss.item()
                if not np.isfinite(value):
                    raise FloatingPointError(
                        f"loss is {value} at step {step} of {total_steps} (epoch {epoch}); before "
                        f"it: {list(last_losses)}. A lower learning_rate or smaller label weights "
                        "may help"
                    )
                last_losses.append(value)

                # Update
                optimizer.zero_grad(set_to_none=True)
                loss.loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), training.max_gradient_norm)
                rate = _learning_rate(step, total_steps=total_steps, training=training)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.step()

                # Report
                bar.update()
                bar.set_postfix(loss=f"{value:.3f}", refresh=False)
                if on_step is not None:
                    metrics = {"loss": value, "learning_rate": rate}
                    on_step(step, metrics | _task_losses(loss, data, rows))

                # Partial state
                done = step + 1
                if checkpoint_dir is not None and done % training.save_every_steps == 0:
                    save_partial_state(
                        checkpoint_dir,
                        fingerprint=fingerprint,
                        step=done,
                        network=network,
                        optimizer=optimizer,
                    )
    if checkpoint_dir is not None:
        remove_partial_states(checkpoint_dir, fingerprint=fingerprint)
    return TrainedModel(
        network=network.eval(), spec=spec, config=config, training=training, static=static
    )


def _batch_loss(
    network: TwoTower,
    data: TrainingSet,
    rows: np.ndarray,
    *,
    step: int,
    config: ModelConfig,
    training: TrainingConfig,
) -> SoftmaxLoss:
    """Loss of the positives `rows` and of the hard negatives drawn for them."""
    device = next(network.parameters()).device
    examples = data.positive[rows]
    user, pin = data.user[examples], data.pins.row[examples]
    user_BD = network.embed_users(user_batch(data.users, data.catalogue, examples).to(device))

    # In-batch and hard negative Pins go through the tower together: one pass is cheaper than two.
    own_only = training.hard_negative_scope == "user"
    drawn = data.pool.draw(
        user, training.hard_negatives_per_batch, fill=not own_only, seed=training.seed, step=step
    )
    negatives = data.negative[drawn]
    all_pins = pin_batch(data.pins, data.catalogue, np.concatenate([examples, negatives]))
    pin_BD, hard_negative_HD = network.embed_pins(all_pins.to(device)).split(
        [len(examples), len(negatives)]
    )
    excluded = data.pairs.hits(user, data.pins.row[negatives])
    if own_only:
        excluded |= user[:, None] != data.user[negatives]

    log_expected_count = np.log(len(rows) * data.probability[rows])
    return weighted_sampled_softmax(
        user_BD,
        pin_BD=pin_BD,
        hard_negative_HD=hard_negative_HD,
        weight_B=torch.from_numpy(data.weight[rows]).to(device),
        temperature=config.temperature,
        log_expected_count_B=torch.from_numpy(log_expected_count.astype(np.float32)).to(device)
        if training.logq_correction
        else None,
        accidental_hit_BB=torch.from_numpy(data.pairs.hits(user, pin)).to(device),
        excluded_BH=torch.from_numpy(excluded).to(device),
    )


def _optimizer(network: TwoTower, training: TrainingConfig) -> torch.optim.Optimizer:
    # An embedding that no row of a batch uses must not shrink, so embeddings do not decay.
    embeddings = {id(m.weight) for m in network.modules() if isinstance(m, torch.nn.Embedding)}
    decayed, others = [], []
    for parameter in network.parameters():
        is_matrix = parameter.ndim > 1 and id(parameter) not in embeddings
        (decayed if is_matrix else others).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate, fused=True)


def _learning_rate(step: int, *, total_steps: int, training: TrainingConfig) -> float:
    """Up in a line during the warm-up, then down in a line to a hundredth."""
    warmup_steps = max(1, round(training.warmup_share * total_steps))
    rising = (step + 1) / warmup_steps
    falling = 1 - 0.99 * max(0, step + 1 - warmup_steps) / max(1, total_steps - warmup_steps)
    return training.learning_rate * min(rising, falling)


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
    return hashlib.sha256("\n".join([*parts, data_digest]).encode()).hexdigest()[:16]
