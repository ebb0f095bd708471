"""Where this deployment's logs, lake and settings are: read once from the environment.

`CONVCG_SOURCE` names the source file (default: `source.yaml` in the home folder),
`CONVCG_SETTINGS` a settings file (default: all defaults), `CONVCG_HOME` the folder for everything
that is built (default `.convcg`), `CONVCG_LANDING` a landing folder other than the source's own,
`CONVCG_LAKE`, `CONVCG_LEDGER` (an SQLAlchemy URL) and `MLFLOW_TRACKING_URI` other places for the
lake, the ledger of what was built, and the experiment tracking.
"""

import os
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from convcg_assets.lake.delta import Lake
from convcg_assets.lake.ledger import Ledger
from convcg_assets.simulated import default_source
from convcg_assets.sources.source import Source, load_source
from convcg_assets.tables.registry import make_recipes, tables_of
from convcg_assets.tables.settings import Settings, load_settings
from convcg_assets.tables.table import Recipe, Scope, Table


@dataclass(frozen=True)
class Deployment:
    """One deployment: its source, its settings and its folders."""

    source: Source
    source_file: Path
    settings: Settings
    home: Path
    lake: Lake
    tracking_uri: str = field(repr=False)
    """With the password that opens it: `without_password` says how it may be shown."""
    ledger_url: str = field(repr=False)
    """The same of the ledger."""

    @cached_property
    def ledger(self) -> Ledger:
        """The facts about what was built."""
        return Ledger(self.ledger_url)

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """What every derived table is built from, each after those that it reads."""
        return make_recipes(self.scope)

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The tables that there are, each after those that it reads."""
        return tables_of(self.source)

    @property
    def scope(self) -> Scope:
        """What the logs are and what is wanted of the tables."""
        return Scope(self.source, self.settings)

    @property
    def models(self) -> Path:
        """Folder of checkpoints, one below it per day."""
        return self.home / "models"

    @property
    def indexes(self) -> Path:
        """Folder of index bundles, one below it per day."""
        return self.home / "indexes"

    @property
    def reports(self) -> Path:
        """Folder of evaluation reports, one below it per day."""
        return self.home / "reports"

    @property
    def promotions(self) -> Path:
        """Folder of what was decided about models, one below it per day."""
        return self.home / "promotions"

    @property
    def features(self) -> Path:
        """Folder of the features that the server reads, one below it per day."""
        return self.home / "serving" / "features"

    @property
    def pin_changes(self) -> Path:
        """Folder of Pins that came and went since a bundle, one below it per model version."""
        return self.home / "serving" / "pins"

    @property
    def spill(self) -> Path:
        """Folder for what does not fit into memory: the engine's files, and those of trainings."""
        return self.home / "spill"

    @property
    def training_files(self) -> Path:
        """Folder of what trainings under way keep out of memory."""
        return self.spill / "training"


def home_folder() -> Path:
    """The folder for everything that is built, as the environment names it."""
    return Path(os.environ.get("CONVCG_HOME", ".convcg")).resolve()


@cache
def current_deployment() -> Deployment:
    """The deployment that the environment names.

    Without a source it is the simulated world that `make demo` lands. Raises ValueError where a
    source file that is named is missing or wrong.
    """
    home = home_folder()
    named = os.environ.get("CONVCG_SOURCE")
    source_file = Path(named or home / "source.yaml").resolve()
    if named or source_file.exists():
        source = load_source(source_file)
    else:
        # A fresh clone opens on the demo's world, with nothing landed yet.
        source = default_source(landing=home / "landing")
    landing = os.environ.get("CONVCG_LANDING")
    if landing:
        source = source.model_copy(update={"landing": Path(landing).resolve()})
    return Deployment(
        source=source,
        source_file=source_file,
        settings=load_settings(os.environ.get("CONVCG_SETTINGS")),
        home=home,
        lake=Lake(os.environ.get("CONVCG_LAKE", str(home / "lake")), source.id_types),
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}",
        ledger_url=os.environ.get("CONVCG_LEDGER") or f"sqlite:///{home / 'ledger.db'}",
    )
