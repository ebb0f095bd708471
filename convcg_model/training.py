"""Training: from training examples to a trained model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.course import Course
from convcg_model.determinism import choose_device, settle_precision
from convcg_model.partial_state import remove_partial_states
from convcg_model.preparation import prepare
from convcg_model.processes import train_on_processes
from convcg_model.trained_model import TrainedModel
from convcg_model.training_loop import Report, train
from convcg_model.training_set import TASKS, TrainingSet
from convcg_model.validation import Validation

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

    With `training.processes` the steps are those of so many processes (`processes.py`).

    Raises ValueError without positives or with unusable weights or columns, and FloatingPointError
    as soon as a loss is not finite; of several processes RankError, with the error of one of them.
    """
    device = choose_device(training.device)
    prepared, static = prepare(
        examples,
        catalogue,
        config=config,
        training=settle_precision(training, device),
        first_day=first_day,
        array_folder=array_folder,
    )
    with _reports(on_step, progress=progress) as report:
        if training.processes == 1:
            trained = train(prepared, device=device, report=report, checkpoint_dir=checkpoint_dir)
        else:
            trained = train_on_processes(
                prepared, report=report, checkpoint_dir=checkpoint_dir, folder=array_folder
            )
    if checkpoint_dir is not None:
        remove_partial_states(checkpoint_dir, fingerprint=prepared.fingerprint)
    network = trained.network
    return TrainedModel(
        network=network.eval(),
        spec=prepared.spec,
        config=prepared.config.model_copy(update={"direction_scale": network.direction_scale}),
        training=prepared.training,
        static=static,
        course=_describe_course(trained.course, prepared.validation, data=prepared.data),
    )


@contextmanager
def _reports(on_step: OnStep | None, *, progress: bool) -> Iterator[Report]:
    """What becomes of a step's metrics: a bar moves, and whoever asked is told."""
    hidden = None if progress else True  # None: where there is no terminal.
    with tqdm(unit="step", desc="train", disable=hidden) as bar:

        def report(step: int, total_steps: int, metrics: dict[str, float]) -> None:
            bar.total = total_steps
            bar.n = bar.n or step  # It begins where the training goes on.
            bar.update()
            bar.set_postfix(loss=f"{metrics['loss']:.3f}", refresh=False)
            if on_step is not None:
                on_step(step, metrics)

        yield report


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
