"""`convcg ledger`: where the ledger is and how much it knows; another one's facts are copied."""

from collections.abc import Mapping
from pathlib import Path

import click

from convcg_assets.commands.console import Failure, json_option, open_console, print_json, say
from convcg_assets.deployment import current_deployment
from convcg_assets.urls import without_password


@click.command()
@click.option(
    "--copy-from",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="First copy the facts of the SQLite ledger in this file.  [default: copy nothing]",
)
@json_option
def command(copy_from: Path | None, as_json: bool) -> None:
    """Say where the ledger of what was built is, and how many facts it knows.

    With --copy-from a deployment that began on SQLite goes on with Postgres, and no day is built
    again for it. Stop what builds before. What the ledger knows already stays as it is.

    \b
    Example:
      convcg ledger
      convcg ledger --copy-from .convcg/ledger.db
    """
    import sqlalchemy as sa

    from convcg_assets.lake.database import open_database
    from convcg_assets.lake.ledger_rows import copy_facts, count_facts

    url, copied = current_deployment().ledger_url, None
    if copy_from is not None:
        source = f"sqlite:///{copy_from.resolve()}"
        try:
            open_database(source)
        except sa.exc.DatabaseError as error:
            raise Failure(f"{copy_from} cannot be read as a ledger: {error.orig}") from None
        copied = copy_facts(source, url)
    known = count_facts(url)
    if as_json:
        print_json({"ledger": without_password(url), "copied": copied, "facts": known})
        return
    console = open_console()
    say(console, f"ledger: {without_password(url)}")
    if copied is not None:
        say(console, f"copied: {_numbers(copied)}")
    say(console, f"facts: {_numbers(known)}")


def _numbers(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in rows.items())
