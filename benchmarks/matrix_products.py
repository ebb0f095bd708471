"""How fast two towers could be trained if nothing but their matrix products took time."""

import time
from itertools import pairwise

import torch

NUM_BATCHES = 40


def examples_per_cpu_s(
    *, user_size: int, pin_size: int, layers: tuple[int, ...], batch_size: int
) -> int:
    """Examples per second of one core, of the products of MLP towers and an in-batch softmax.

    Of each layer the product forward and the two backward (of the input's gradient and the
    weights'), of the scores as well; no embeddings, activations, losses, updates.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    shapes = [
        (batch_size, width, next_width)
        for size in (user_size, pin_size)
        for width, next_width in pairwise((size, *layers))
    ]
    shapes.append((batch_size, layers[-1], batch_size))
    operands = [
        (torch.randn(rows, width), torch.randn(width, columns), torch.randn(rows, columns))
        for rows, width, columns in shapes
    ]
    started = 0.0
    for batch in range(NUM_BATCHES + 1):
        if batch == 1:  # the first one warms up
            started = time.process_time()
        for input_BX, weight_XY, gradient_BY in operands:
            torch.mm(input_BX, weight_XY)
            torch.mm(gradient_BY, weight_XY.T)
            torch.mm(input_BX.T, gradient_BY)
    seconds = time.process_time() - started
    torch.set_num_threads(threads)
    return round(NUM_BATCHES * batch_size / seconds)
