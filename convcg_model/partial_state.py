"""Partial states of a training: written now and then, so that a crash costs minutes only.

A partial state belongs to one training by its fingerprint (configs, feature spec, data); a training
with another fingerprint does not see it.
"""

import os
from pathlib import Path
from typing import Any

import torch

PATTERN = "partial-{fingerprint}-{step:09d}.pt"


def save_partial_state(folder: Path, *, fingerprint: str, step: int, state: dict[str, Any]) -> None:
    """Write the state after `step` steps, atomically; remove the older ones of this training."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PATTERN.format(fingerprint=fingerprint, step=step)
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("wb") as file:
        torch.save({"step": step, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    for older in _paths(folder, fingerprint):
        if older != path:
            older.unlink()


def load_partial_state(folder: Path, *, fingerprint: str) -> dict[str, Any] | None:
    """The newest state of this training, its `step` in it; None without one."""
    paths = _paths(folder, fingerprint)
    return torch.load(paths[-1], weights_only=True, map_location="cpu") if paths else None


def remove_partial_states(folder: Path, *, fingerprint: str) -> None:
    """Remove the states of this training, when it has ended, also those half written."""
    for path in folder.glob(f"partial-{fingerprint}-*"):
        path.unlink()


def _paths(folder: Path, fingerprint: str) -> list[Path]:
    return sorted(folder.glob(f"partial-{fingerprint}-*.pt"))
