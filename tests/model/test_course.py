"""What follows from a log, when a search ends, and where it goes on from."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from convcg_model.config import ModelConfig, TrainingConfig
from convcg_model.course import Course, plan_course, settle
from convcg_model.training import fit
from convcg_model.training_set import fit_catalogue_and_features, training_set
from convcg_model.validation import hold_out_newest, split_time

SMALL = ModelConfig(embedding_dim=16, mlp_sizes=(16, 16), pin_id_dim=8, content_dim=4)
AUTO = TrainingConfig(batch_size=100, hard_negatives_per_batch=20, device="cpu")


def course(*, search_steps=100, patience=2, finish_share=0.5):
    return Course(
        search_steps=search_steps,
        finish_steps=0,
        look_every=10,
        patience=patience,
        finish_share=finish_share,
    )


@pytest.fixture(scope="module")
def dated(world):
    """The checkerboard, its impressions spread over ten days."""
    days = [dt.datetime(2026, 1, 1 + i % 10, i % 24) for i in range(world.examples.num_rows)]
    place = world.examples.column_names.index("impression_ts")
    column = pa.array(days, pa.timestamp("us"))
    return world.examples.set_column(place, "impression_ts", column)


def test_a_search_ends_when_patience_does_and_finishes_from_the_best_look():
    at = course(patience=2, finish_share=0.5)
    assert not at.look(10, 0.1, is_better=True)
    assert not at.look(20, 0.3, is_better=True)
    assert not at.look(30, 0.31, is_better=False)
    assert at.look(40, 0.2, is_better=False)
    assert (at.best_step, at.search_end, at.finish_steps, at.total_steps) == (20, 40, 10, 50)
    assert [at.is_search(step) for step in (39, 40)] == [True, False]


def test_a_search_ends_at_its_longest():
    at = course(search_steps=25, patience=9, finish_share=1.0)
    assert [step for step in range(1, 26) if at.is_look(step)] == [10, 20, 25]
    assert [at.look(step, step, is_better=True) for step in (10, 20, 25)] == [False, False, True]
    assert at.total_steps == 25 + 25


def test_the_rate_stays_in_the_search_and_falls_to_a_hundredth_after_it():
    training = TrainingConfig(learning_rate=1.0, batch_size=10)
    at = course(patience=1, finish_share=0.5)
    assert at.learning_rate(50, training=training) == 1.0
    at.look(90, 1.0, is_better=True)
    at.look(100, 0.5, is_better=False)
    assert at.learning_rate(99, training=training) == 1.0
    assert at.learning_rate(144, training=training) == pytest.approx(0.01)


def test_a_state_comes_back():
    at = course(patience=1, finish_share=0.5)
    at.look(10, 1.0, is_better=True)
    at.look(20, 0.5, is_better=False)
    again = course(patience=1, finish_share=0.5)
    again.resume(at.state())
    assert again == at


@pytest.mark.parametrize(
    ("num_positives", "batch_size"), [(500, 64), (40_000, 256), (600_000, 2048), (50_000_000, 2048)]
)
def test_small_and_large_logs_get_a_sensible_course(num_positives, batch_size):
    _, training = settle(
        ModelConfig(), TrainingConfig(), num_positives=num_positives, pin_counts=[]
    )
    assert training.batch_size == batch_size
    at = plan_course(num_positives, num_searched=int(0.9 * num_positives), training=training)
    epochs = at.search_steps * batch_size / (0.9 * num_positives)
    assert 2.4 < epochs < 45
    assert at.search_steps >= 3 * at.look_every


def test_rare_ids_share_when_there_are_too_many():
    counts = [9] * 600 + [3] * 600 + [1] * 600
    for num_positives, least in ((8_000, 1), (6_000, 2), (100, 4)):
        settled, _ = settle(ModelConfig(), AUTO, num_positives=num_positives, pin_counts=counts)
        assert settled.min_pin_count == least


@pytest.mark.parametrize(
    ("per_pin", "hidden"), [(1, 0.9), (50, 50 / 100), (100, 0.33), (1_000_000, 0.1)]
)
def test_the_fewer_positives_a_pin_has_the_more_its_id_is_hidden(per_pin, hidden):
    settled, _ = settle(ModelConfig(), AUTO, num_positives=20 * per_pin, pin_counts=[per_pin] * 20)
    assert settled.id_dropout == hidden


def test_a_number_given_is_kept():
    given = ModelConfig(id_dropout=0.3, min_pin_count=7), AUTO
    assert settle(*given, num_positives=100, pin_counts=[1, 2]) == given
    assert plan_course(1000, num_searched=0, training=AUTO).total_steps == 3 * 10


def test_validation_is_the_newest_days_and_its_ids_are_unknown_before(dated, world):
    config = SMALL.model_copy(update={"min_pin_count": 1})
    static, spec = fit_catalogue_and_features(dated, world.pins, config=config)
    data = training_set(dated, static, spec, task_weights=AUTO.task_weights)
    validation = hold_out_newest(dated, data, training=AUTO)
    assert validation is not None
    cut = split_time(dated, data.positive, share=0.1)
    ts = dated["impression_ts"].cast(pa.int64()).to_numpy()
    assert ts[validation.known.positive].max() < cut <= ts[validation.query_V].min()
    assert ts[validation.known.negative].max() < cut
    assert validation.weight_V.sum() == pytest.approx(1)
    assert np.array_equal(
        data.pins.row[validation.candidate_C[validation.target_V]],
        data.pins.row[validation.query_V],
    )
    assert validation.known.weight.dtype == np.float32
    assert 0 <= validation.new_share < 0.2


def test_evidence_that_arrived_later_is_not_known(dated, world):
    late = pa.array([dt.date(2026, 1, 10)] * dated.num_rows)
    config = SMALL.model_copy(update={"min_pin_count": 1})
    examples = dated.append_column("evidence_dt", late)
    static, spec = fit_catalogue_and_features(examples, world.pins, config=config)
    data = training_set(examples, static, spec, task_weights=AUTO.task_weights)
    assert hold_out_newest(examples, data, training=AUTO) is None


def test_one_moment_gives_nothing_to_judge_by(world):
    assert split_time(world.examples, np.arange(100), share=0.1) is None


def test_auto_gives_the_same_bytes_whatever_the_row_order(dated, world):
    training = AUTO.model_copy(update={"max_auto_examples": 2_000})
    options = {"config": SMALL, "training": training, "progress": False}
    model = fit(dated, world.pins, **options)
    shuffled = dated.take(np.random.default_rng(1).permutation(dated.num_rows))
    again = fit(shuffled, world.pins, **options)
    assert again.course == model.course
    assert again.model_version == model.model_version


class KilledError(Exception):
    pass


def test_auto_learns_records_its_course_and_resumes_to_the_same_bytes(dated, world, tmp_path):
    training = AUTO.model_copy(update={"save_every_steps": 7, "max_auto_examples": 4_000})
    options = {"config": SMALL, "training": training, "progress": False}
    looks = []
    model = fit(
        dated,
        world.pins,
        on_step=lambda step, metrics: looks.append((step + 1, metrics.get("validation"))),
        **options,
    )
    recorded = model.course
    assert recorded["validation_curve"] == [[step, score] for step, score in looks if score]
    assert recorded["best_step"] in [step for step, _ in recorded["validation_curve"]]
    assert len(looks) == recorded["search_steps"] + recorded["finish_steps"]
    assert model.config.id_dropout != "auto"

    for death in (5, 20, len(looks) - 2):

        def die(step, _, death=death):
            if step == death:
                raise KilledError

        with pytest.raises(KilledError):
            fit(dated, world.pins, checkpoint_dir=tmp_path, on_step=die, **options)
    resumed = fit(dated, world.pins, checkpoint_dir=tmp_path, **options)
    assert resumed.model_version == model.model_version
    assert resumed.course == recorded


def test_directions_count_less_where_they_only_fit_the_past(dated):
    """Everybody wants the popular Pins: whom a Pin went to is chance, and its counter says all."""
    generator = np.random.default_rng(3)
    num_rows, num_pins = dated.num_rows, 200
    pin = np.minimum(generator.zipf(1.5, num_rows) - 1, num_pins - 1)
    counts = np.bincount(pin, minlength=num_pins).astype(float)
    columns = {
        "pin_id": pa.array(pin),
        "advertiser_id": pa.nulls(num_rows, pa.int64()),
        "pin_category": pa.nulls(num_rows, pa.string()),
        "subject_pin_id": pa.nulls(num_rows, pa.int64()),
        "query": pa.nulls(num_rows, pa.string()),
        "user_recent_pin_ids": pa.array([[int(p)] for p in generator.permutation(pin)]),
        "user_recent_actions": pa.array([["click"]] * num_rows),
        "user_recent_age_days": pa.array([[1.0]] * num_rows),
        "pin_num_impressions_30d": pa.array(counts[pin]),
    }
    examples = dated.filter(pa.array([True] * num_rows))
    for name, column in columns.items():
        examples = examples.set_column(examples.column_names.index(name), name, column)
    catalogue = pa.table(
        {
            "pin_id": pa.array(range(num_pins)),
            "advertiser_id": pa.nulls(num_pins, pa.int64()),
            "category": pa.nulls(num_pins, pa.string()),
            "content": pa.nulls(num_pins, pa.list_(pa.float64())),
        }
    )
    model = fit(examples, catalogue, config=SMALL, training=AUTO, progress=False)
    assert model.config.resolved_direction_scale < 1
    assert model.course["direction_scale"] == model.config.direction_scale


def test_directions_count_as_the_config_says(dated, world):
    training = AUTO.model_copy(update={"max_auto_examples": 2_000})
    config = SMALL.model_copy(update={"direction_scale": 0.3})
    model = fit(dated, world.pins, config=config, training=training, progress=False)
    assert model.config.direction_scale == 0.3
    users = model.embed_users(dated.slice(0, 9))
    assert np.allclose(np.linalg.norm(users[:, :-1], axis=1), 0.3, atol=1e-6)
    assert np.array_equal(users[:, -1], np.ones(9))
