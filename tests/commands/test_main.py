"""The command as a whole: its help teaches, it answers at once, its exit status can be used."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import dagster as dg
import pytest

from convcg_assets.commands.main import COMMANDS, cli
from convcg_assets.commands.materialize import explain_failures
from convcg_assets.sources.faults import LandingError

from .conftest import CONVCG, Convcg

HEAVY = ("dagster", "deltalake", "duckdb", "ibis", "pandas", "pyarrow", "pydantic", "torch")


def leaves(group: click.Group, path: str = "convcg") -> Iterator[tuple[str, click.Command]]:
    """Every command, groups too, by what a user types."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path} {name}")


ALL = dict(leaves(cli))


def help_of(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "")


def first_paragraph(command: click.Command) -> str:
    return " ".join(help_of(command).split("\n\n")[0].split())


@pytest.mark.parametrize("typed", ALL)
def test_help_is_one_sentence_then_an_example(typed: str) -> None:
    command = ALL[typed]
    assert re.fullmatch(r"[A-Z][^.]*[^. ](\.[a-z]+[^.]*)?\.", first_paragraph(command))
    examples = help_of(command).split("\b\nExample:\n", 1)[1].split("\n\n")[0].splitlines()
    assert any(typed in example for example in examples), "an example of the command itself"
    assert all(len(line) <= 90 for line in examples)


@pytest.mark.parametrize("typed", ALL)
def test_every_option_says_what_it_is_and_what_without_it(typed: str) -> None:
    command = ALL[typed]
    if isinstance(command, click.Group):
        return
    names = [parameter.name for parameter in command.params]
    # What a server says of itself is JSON in any case, and what Prometheus reads has its own form.
    assert "as_json" in names or typed in ("convcg serve", "convcg metrics")
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            silent = option.required or option.is_flag or option.multiple
            # What is worked out later says so itself.
            assert silent or option.default is not None or "[default: " in option.help, option.name


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    own = {
        typed.removeprefix("convcg "): first_paragraph(command)
        for typed, command in ALL.items()
        if typed.count(" ") == 1
    }
    assert own == COMMANDS


def test_help_imports_nothing_heavy() -> None:
    text = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from convcg_assets.commands.main import cli\n"
        "done = CliRunner().invoke(cli, ['--help'])\n"
        "assert done.exit_code == 0 and 'simulate' in done.output\n"
        f"print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_environment_stands_in_the_help() -> None:
    for name in ("CONVCG_HOME", "CONVCG_SOURCE", "CONVCG_SETTINGS", "DAGSTER_HOME"):
        assert name in (cli.help or "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["rn"],
        ["run", "--nowhere"],
        ["demo", "--days", "0"],
        ["check", "--days", "32"],
        ["report", "--day", "yesterday"],
        ["split"],
        ["simulate", "next-days"],
        ["maintain", "--keep-days", "a week"],
        ["forget"],
        ["explain"],
        ["explain", "--impression", "1", "--conversion", "2"],
        ["explain", "--impression", "1", "--day", "yesterday"],
    ],
)
def test_wrong_usage_exits_with_2(convcg: Convcg, arguments: list[str]) -> None:
    assert convcg(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["check"],
        ["check", "nowhere.yaml"],
        ["report"],
        ["explain", "--conversion", "1"],
        ["maintain", "--keep-days", "0"],
        ["simulate", "next-day"],
        ["simulate", "late-file"],
    ],
)
def test_what_cannot_be_done_exits_with_1_and_one_message(
    convcg: Convcg, arguments: list[str]
) -> None:
    failed = convcg(*arguments)
    assert failed.exit_code == 1
    assert failed.stderr.startswith("error: ")
    assert "Traceback" not in failed.output


def test_a_command_is_found_by_what_is_like_it(convcg: Convcg) -> None:
    assert "Did you mean 'status'?" in convcg("statsu").stderr


def test_traceback_shows_where_an_error_came_from() -> None:
    command = [sys.executable, *CONVCG, "--traceback", "check", "nowhere.yaml"]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "Traceback" in failed.stderr
    assert "source file nowhere.yaml does not exist" in failed.stderr


@pytest.mark.parametrize("command", ["repair", "status"])
def test_a_home_that_does_not_exist(
    convcg: Convcg, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    failed = convcg(command)
    assert failed.exit_code == 1
    assert failed.stderr.startswith(f"error: the home folder {tmp_path / 'home'} does not exist")
    assert "CONVCG_HOME" in failed.stderr
    assert not (tmp_path / "home").exists()


def test_a_home_that_no_table_can_be_written_in(
    convcg: Convcg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVCG_HOME", str(tmp_path / "home[1]"))
    failed = convcg("status")
    assert failed.exit_code == 1
    assert "Choose another folder for CONVCG_HOME" in failed.stderr


def test_what_an_asset_says_is_told_and_not_its_cause() -> None:
    @dg.asset
    def broken() -> None:
        try:
            raise OSError("Snappy decompression failure")
        except OSError as error:
            raise LandingError("impressions: a.parquet broke") from error

    result = dg.materialize([broken], raise_on_error=False)
    assert explain_failures(result) == ["broken: LandingError: impressions: a.parquet broke"]
