"""Every command of the deployment files is one that there is, with options that it takes."""

from typing import Any

import click
import pytest
from dagster._cli import create_dagster_cli
from dagster._daemon.cli import create_dagster_daemon_cli
from dagster_webserver.cli import dagster_webserver

from convcg_assets.commands.main import cli

from .files import DEPLOY, ROOT, Container, containers


def parse(command: click.Command, arguments: list[str], parent: click.Context | None = None) -> Any:
    """The parameters of the innermost command; an error of click's where it takes them not."""
    context = command.make_context(command.name, list(arguments), parent=parent)
    if not isinstance(command, click.Group):
        return context.params
    rest = [*context._protected_args, *context.args]
    _, found, rest = command.resolve_command(context, rest)
    assert found is not None
    return parse(found, rest, context)


def program(name: str) -> click.Command:
    if name == "mlflow":
        from mlflow.cli import cli as mlflow_cli

        return mlflow_cli
    return {
        "convcg": cli,
        "dagster": create_dagster_cli(),
        "dagster-daemon": create_dagster_daemon_cli(),
        "dagster-webserver": dagster_webserver,
    }[name]


def python(code: list[str]) -> None:
    assert code[0] == "-c"
    compile(code[1], "health", "exec")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("container", containers(), ids=lambda container: container.name)
def test_a_command_and_its_health_are_ones_that_there_are(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for name, *arguments in (container.command, *container.health):
        if name == "python":
            python(arguments)
        else:
            folder = DEPLOY / container.name.split()[0]
            # Mounted there: of the file as it lies here.
            here = [str(folder / a.rpartition("/")[2]) if "/etc/" in a else a for a in arguments]
            parse(program(name), here)


def test_an_option_that_there_is_not_would_be_found() -> None:
    with pytest.raises(click.NoSuchOption):
        parse(cli, ["serve", "--porter", "8080"])
    with pytest.raises(click.UsageError):
        parse(create_dagster_cli(), ["code-server", "begin"])
