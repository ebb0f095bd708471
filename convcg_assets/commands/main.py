"""The command `convcg` itself: which subcommands there are, and how an error is told.

What a subcommand does belongs to the file of its name, which is imported only when it is asked for:
`convcg --help` answers at once.
"""

import importlib
import os

import click

from convcg_assets.commands.console import Failure

COMMANDS = {
    "demo": "Land a simulated world and build everything from it.",
    "run": "Build every table, the model, its index and its report from the landed logs.",
    "status": "Say which days are stale, and why.",
    "metrics": "Print what Prometheus reads of the tables.",
    "repair": "Read what has landed and rebuild the days that are stale.",
    "report": "Print the headline of a day's evaluation report, and where the page lies.",
    "models": "List the registered models, who serves, since when and why.",
    "promote": "Let the model of day T serve, if every guard holds.",
    "rollback": "Let the model serve that served before, or the registered one of day T.",
    "serve": "Answer who asks for candidates, with the model in service.",
    "refresh": "Bring the Pins that serve up to date, without a training.",
    "backtest": "Train models of past days as they would have been, and compare them.",
    "explain": "Explain the labels of an impression or a conversion, down to the landed files.",
    "check": "Show how landed logs will be read, and what would be rejected; builds nothing.",
    "split": "Cut one big log file into a folder per day.",
    "simulate": "Land, continue or describe a simulated world.",
    "ledger": "Say where the ledger of what was built is, and how many facts it knows.",
    "forget": "Remove all rows of people from the lake, for good.",
    "maintain": "Remove old files of the lake that no kept model was trained on.",
}
"""Each with the one sentence that its own help begins with."""
SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 100}


class Commands(click.Group):
    """Subcommands imported by name; what is wrong with logs or settings is told in one message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand of a file of this folder."""
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"convcg_assets.commands.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A name that is not known is told with the nearest that are."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.NoSuchCommand(name, possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of subcommands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Run a subcommand; ValueError and OSError are faults of the logs, settings or folders."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `convcg ... | head`: nobody reads on.
            raise
        except (ValueError, OSError) as error:
            if ctx.params["traceback"]:
                raise
            raise Failure(str(error)) from None


@click.group(cls=Commands, context_settings=SETTINGS)
@click.option("--traceback", is_flag=True, help="Where an error came from, for a bug report.")
@click.version_option(package_name="convcg")
def cli(traceback: bool) -> None:
    """From ads event logs to a trained retrieval model, day by day.

    \b
    Try it on simulated logs:
      convcg demo
    On your own logs (docs/sources.md says how to describe them):
      convcg check path/to/source.yaml
      CONVCG_SOURCE=path/to/source.yaml convcg run

    \b
    Environment:
      CONVCG_HOME      folder of all that is built            [default: .convcg]
      CONVCG_SOURCE    the file that describes your logs      [default: $CONVCG_HOME/source.yaml]
      CONVCG_SETTINGS  windows, weights, holdout and such     [default: all defaults]
      DAGSTER_HOME     folder of Dagster's runs and events    [default: $CONVCG_HOME/dagster]
      CONVCG_LEDGER, CONVCG_DAGSTER_STORAGE, MLFLOW_TRACKING_URI
                       Postgres databases (docs/postgres.md)  [default: SQLite in CONVCG_HOME]

    Exit status: 0 done, 1 failed, 2 wrong usage. `convcg COMMAND --help` explains a command.
    """
    # Threads that wait by spinning slow everything down as soon as the cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")


def main() -> None:
    """The console script."""
    cli(prog_name="convcg")


if __name__ == "__main__":
    main()
