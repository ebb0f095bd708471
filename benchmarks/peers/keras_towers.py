"""Peers: two towers of TensorFlow Recommenders and of keras-rs, as their guides build them.

The same Keras layers; the loss is each library's own, with logQ, without accidental hits.
"""

import os
import sys
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Candidates, Data, Fitted, Rows, run
from benchmarks.peers.inputs import (
    BATCH,
    EMBEDDING,
    LAYERS,
    LEARNING_RATE,
    item_inputs,
    sample_weights,
    sampling_probability,
    user_inputs,
    vocabulary_sizes,
)

# TensorFlow Recommenders is of Keras 2.
if '"tfrs"' in sys.argv[-1]:
    os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf


def fit(data: Data, settings: dict[str, Any]) -> Fitted:
    """`kind`: tfrs or keras_rs; `epochs`, `temperature`."""
    tf.keras.utils.set_random_seed(0)
    sizes = vocabulary_sizes(data)
    users = user_inputs(data.train, data.items)
    pins = item_inputs(data.labels.item, data.labels.numeric, data.items)
    id_embedding = tf.keras.layers.Embedding(sizes["pin"], EMBEDDING, name="pin_embedding")
    tables = {"pin": id_embedding, "subject": id_embedding, "recent": id_embedding}

    def tower(inputs: dict[str, np.ndarray], name: str) -> Any:
        asked, parts = {}, []
        for part, values in inputs.items():
            is_numeric = part.endswith("_numeric")
            asked[part] = tf.keras.Input(
                values.shape[1:], dtype="float32" if is_numeric else "int32", name=part
            )
            if is_numeric:
                parts.append(asked[part])
                continue
            table = tables.setdefault(
                part, tf.keras.layers.Embedding(sizes.get(part, 1), EMBEDDING)
            )
            parts.append(table(asked[part]))
            if part == "recent":
                parts[-1] = MeanOfPresent()((parts[-1], asked[part]))
        hidden = tf.keras.layers.Concatenate()(parts)
        for width in LAYERS[:-1]:
            hidden = tf.keras.layers.Dense(width, activation="relu")(hidden)
        hidden = tf.keras.layers.Dense(LAYERS[-1])(hidden)
        return tf.keras.Model(asked, tf.keras.layers.UnitNormalization()(hidden), name=name)

    user_tower, pin_tower = tower(users, "users"), tower(pins, "pins")
    make = _tfrs_model if settings["kind"] == "tfrs" else _keras_rs_model
    model = make(user_tower, pin_tower, temperature=settings["temperature"])
    extra = {
        "item_id": data.labels.item.astype(np.int32),
        "probability": sampling_probability(data),
        "sample_weight": sample_weights(data),
    }
    inputs: Any = {"user": users, "pin": pins} | extra
    rows = tf.data.Dataset.from_tensor_slices(inputs)
    rows = rows.shuffle(len(data.train), seed=0).batch(BATCH).prefetch(1)
    model.compile(optimizer=tf.keras.optimizers.Adam(LEARNING_RATE))
    model.fit(rows, epochs=settings["epochs"], verbose=0)

    def score(queries: Rows, candidates: Candidates) -> np.ndarray:
        asked = user_inputs(queries, data.items)
        ranked = item_inputs(candidates.item, candidates.numeric, data.items)
        user_QD = user_tower.predict(asked, batch_size=4096, verbose=0)
        pin_ND = pin_tower.predict(ranked, batch_size=4096, verbose=0)
        return user_QD @ pin_ND.T

    return Fitted(score, examples=settings["epochs"] * len(data.train))


class MeanOfPresent(tf.keras.layers.Layer):
    """Mean over the positions whose code is not 0."""

    def call(self, inputs: Any) -> Any:
        """[B, X] of ([B, L, X], codes [B, L])."""
        embedded, codes = inputs
        present = tf.cast(codes > 0, tf.float32)[..., None]
        return tf.reduce_sum(embedded * present, axis=1) / tf.maximum(
            tf.reduce_sum(present, axis=1), 1.0
        )


def _tfrs_model(user_tower: Any, pin_tower: Any, *, temperature: float) -> Any:
    import tensorflow_recommenders as tfrs

    class Towers(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.user_tower, self.pin_tower = user_tower, pin_tower
            self.task = tfrs.tasks.Retrieval(temperature=temperature, remove_accidental_hits=True)

        def compute_loss(self, inputs: Any, training: bool = False) -> Any:
            return self.task(
                self.user_tower(inputs["user"], training=training),
                self.pin_tower(inputs["pin"], training=training),
                sample_weight=inputs["sample_weight"],
                candidate_sampling_probability=inputs["probability"],
                candidate_ids=inputs["item_id"],
                compute_metrics=False,
            )

    return Towers()


def _keras_rs_model(user_tower: Any, pin_tower: Any, *, temperature: float) -> Any:
    import keras
    import keras_rs

    class Towers(keras.Model):
        def __init__(self):
            super().__init__()
            self.user_tower, self.pin_tower = user_tower, pin_tower
            self.correction = keras_rs.layers.SamplingProbabilityCorrection()
            self.accidental_hits = keras_rs.layers.RemoveAccidentalHits()
            self.loss_of = keras.losses.CategoricalCrossentropy(from_logits=True)

        def call(self, inputs: Any, training: bool = False) -> Any:
            user = self.user_tower(inputs["user"], training=training)
            pin = self.pin_tower(inputs["pin"], training=training)
            return keras.ops.matmul(user, keras.ops.transpose(pin)) / temperature

        def compute_loss(self, x: Any = None, y=None, y_pred=None, sample_weight=None, **_: Any):
            labels = keras.ops.eye(keras.ops.shape(y_pred)[0])
            logits = self.correction(y_pred, x["probability"])
            logits = self.accidental_hits(logits, labels, x["item_id"])
            return self.loss_of(labels, logits, sample_weight=x["sample_weight"])

    return Towers()


if __name__ == "__main__":
    run(fit)
