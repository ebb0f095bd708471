"""One command in several homes, in one process: `in_turn.py HOMES COMMAND...`, HOMES as JSON.

What takes long, imports and the compiling of SQL, is done once. HOMES is a list of environments.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

from convcg_assets.commands.main import cli
from convcg_assets.deployment import current_deployment


def main(homes: str, *command: str) -> None:
    """What each says is written to `told.txt` in its home; ends as soon as one fails."""
    for environment in json.loads(homes):
        os.environ.pop("DAGSTER_HOME", None)
        os.environ.update(environment)
        current_deployment.cache_clear()
        told = Path(environment["CONVCG_HOME"]) / "told.txt"
        with told.open("w") as file, contextlib.redirect_stdout(file):
            cli(command, standalone_mode=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
