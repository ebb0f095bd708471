"""The features of the two-tower peers: the same as convcg's own, as arrays by name.

Shape suffixes: see `exchange.py`.
"""

import numpy as np

from benchmarks.peers.exchange import CONVERSION, Data, Items, Rows

EMBEDDING = 32
"""Of ids, categories, advertisers and context, each."""
LAYERS = (256, 128, 64)
"""Of both towers; the last is the embedding that is compared."""
BATCH = 1024
LEARNING_RATE = 3e-3
CONVERSION_SHARE = 0.3
"""What the conversion task counts beside 1 of engagement, as in convcg's defaults."""


def user_inputs(rows: Rows, items: Items) -> dict[str, np.ndarray]:
    """Context, numbers, the subject and the recent items, as id codes, 0 where there is none."""
    inputs = {f"context_{i}": codes for i, codes in enumerate(rows.context.T)}
    inputs["subject"] = items.pin[rows.subject]
    inputs["recent"] = items.pin[rows.recent]
    if rows.numeric.shape[1]:
        inputs["user_numeric"] = rows.numeric
    return inputs


def item_inputs(item: np.ndarray, numeric: np.ndarray, items: Items) -> dict[str, np.ndarray]:
    """Id, category and advertiser codes; content, static numbers and those of the time."""
    inputs = {
        "pin": items.pin[item],
        "category": items.category[item],
        "advertiser": items.advertiser[item],
    }
    numbers = np.concatenate([items.numeric[item], items.content[item], numeric], axis=1)
    if numbers.shape[1]:
        inputs["item_numeric"] = numbers
    return inputs


def vocabulary_sizes(data: Data) -> dict[str, int]:
    """Codes of each categorical input; `subject` and `recent` are those of `pin`."""
    sizes = {f"context_{i}": size for i, size in enumerate(data.sizes["context"])}
    for name in ("pin", "category", "advertiser"):
        sizes[name] = int(getattr(data.items, name).max()) + 1
    return sizes


def input_size(inputs: dict[str, np.ndarray]) -> int:
    """Numbers that a tower reads of each row."""
    return sum(
        values.shape[1] if name.endswith("_numeric") else EMBEDDING
        for name, values in inputs.items()
    )


def sample_weights(data: Data) -> np.ndarray:
    """float32 [P]: label weights, each task with its share whatever its number; mean 1."""
    weight = data.labels.weight.astype(np.float64)
    for task in np.unique(data.train.task):
        of_task = data.train.task == task
        share = CONVERSION_SHARE if task == CONVERSION else 1.0
        weight[of_task] *= share / weight[of_task].sum()
    return (weight / weight.mean()).astype(np.float32)


def sampling_probability(data: Data) -> np.ndarray:
    """float32 [P]: each positive's item's share of all positives."""
    counts = np.bincount(data.labels.item)
    return (counts[data.labels.item] / len(data.labels.item)).astype(np.float32)
