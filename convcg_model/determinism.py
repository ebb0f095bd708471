"""Torch set so that the same seed gives the same bytes, and set back afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from convcg_model.config import TrainingConfig


@contextmanager
def deterministic_torch(device: torch.device) -> Iterator[None]:
    """Deterministic kernels and a generator state of its own inside the block.

    Same bytes hold for one machine, number of threads and release of torch.
    """
    if device.type == "cuda":
        # cuBLAS reads it when its first handle is made; without it torch refuses.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    was_on = torch.are_deterministic_algorithms_enabled()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.use_deterministic_algorithms(True)
        # Filling new tensors first is for code that reads what it never wrote; it costs a tenth.
        torch.utils.deterministic.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was_on)


def numerics(*, processes: int = 1) -> dict[str, str | int]:
    """What the last digit of a training depends on beside its inputs: see `deterministic_torch`.

    `threads` are those of each process.
    """
    return {
        "torch": torch.__version__,
        "processes": processes,
        "threads": threads_of_each(processes),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def threads_of_each(processes: int) -> int:
    """The threads of this process shared out among so many."""
    return max(1, torch.get_num_threads() // processes)


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed the generators that work on a device draws from.

    `torch.manual_seed` keeps a note of each call for devices that are not there, and a stack trace
    with it: too much for every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def choose_device(name: str) -> torch.device:
    """The device of a config: `auto` is the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device is {name!r}, but no CUDA device is available; use auto or cpu")
    return torch.device(name)


def device_of_rank(name: str, *, local_rank: int, processes: int) -> torch.device:
    """The device of one of several processes: of GPUs each takes its own, the first the first.

    ValueError where a GPU is named by its number, or there are fewer than processes.
    """
    device = choose_device(name)
    if device.type == "cpu":
        return device
    if device.index is not None:
        raise ValueError(f"device is {name!r}, but processes is {processes}: use cuda, auto or cpu")
    if torch.cuda.device_count() < processes:
        raise ValueError(
            f"processes is {processes}, but there are {torch.cuda.device_count()} GPUs: each "
            "process needs one of its own; use fewer, or device cpu"
        )
    return torch.device("cuda", local_rank)


def settle_precision(training: TrainingConfig, device: torch.device) -> TrainingConfig:
    """The config with `precision` a type; ValueError for one that the device lacks."""
    if training.precision == "float32":
        return training
    if training.precision == "bf16" and not has_bf16(device):
        raise ValueError(
            f"precision is 'bf16', but this {device.type} multiplies no bf16: use auto or float32"
        )
    return training.model_copy(update={"precision": "bf16" if has_bf16(device) else "float32"})


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 by itself, and not by way of float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
