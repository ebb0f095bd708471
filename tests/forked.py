"""Processes that begin at once, with no thread of the tests' own process."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any


def forks() -> ForkServerContext:
    return multiprocessing.get_context("forkserver")


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """A process forked from a server that has imported the module of what it does."""
    context = forks()
    context.set_forkserver_preload([target.__module__])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process
