"""What all commands print by: text for people, JSON for machines, progress, one form of error."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PIPED_WIDTH = 140
"""Characters of a line where there is no terminal to ask."""

Function = TypeVar("Function", bound=Callable[..., Any])


class Failure(click.ClickException):
    """A command that could not do what it was asked: `error: ...`, exit status 1."""

    def show(self, file: Any = None) -> None:
        """Print the message to standard error."""
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


def json_option(function: Function) -> Function:
    """The option `--json`: the answer as JSON on standard output, all else on standard error."""
    told = "Print the answer as JSON, and progress to stderr."
    return click.option("--json", "as_json", is_flag=True, help=told)(function)


def open_console(*, as_json: bool = False) -> Console:
    """Where text for people goes: standard output, or standard error beside JSON."""
    stream = sys.stderr if as_json else sys.stdout
    return Console(stderr=as_json, width=None if stream.isatty() else PIPED_WIDTH)


def print_json(answer: Any) -> None:
    """The answer on standard output; days and paths become text."""
    click.echo(json.dumps(answer, indent=2, default=str))


def say(console: Console, text: str, *, style: str | None = None) -> None:
    """A line as it is: nothing in it is markup, and a path is never broken in two."""
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def begin(console: Console, text: str) -> None:
    """A line that the next one takes the place of, where there is a terminal."""
    end = "\r" if console.is_terminal else "\n"
    console.print(text, style="dim", highlight=False, markup=False, soft_wrap=True, end=end)


@contextmanager
def working(console: Console, text: str, *, is_short: bool = False) -> Iterator[None]:
    """Show that work is under way and for how long; without a terminal, one line at its start.

    Short work needs no such line.
    """
    if not console.is_terminal:
        if not is_short:
            say(console, f"{text} ...")
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(text, total=None)
        yield
