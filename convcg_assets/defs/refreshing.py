"""Refreshing the Pins that serve: new ones are embedded by the model in service, others go."""

import datetime as dt
from dataclasses import dataclass

from convcg_assets.builds.fresh_pins import pins_of_now
from convcg_assets.defs.registry import Registry
from convcg_assets.deployment import Deployment
from convcg_assets.lake.engine import connect


@dataclass(frozen=True)
class Refreshed:
    """What a refresh found, for the version that serves."""

    version: str
    catalogue_day: dt.date
    added: int
    removed: int


def refresh(deployment: Deployment) -> Refreshed:
    """Write the changes of Pins since the champion's bundle, where the server takes them up.

    LookupError where nothing serves, or no catalogue was read.
    """
    from convcg_model.index import load_bundle
    from convcg_model.live_index import pin_changes

    champion = Registry(deployment).champion()
    if champion is None:
        raise LookupError("no model serves: `convcg promote T` lets one")
    con = connect(memory_limit="2GB", temp=deployment.spill)
    try:
        day, pins = pins_of_now(deployment, con=con)
    finally:
        con.disconnect()
    bundle = load_bundle(champion.bundle)
    changes = pin_changes(bundle, pins, as_of=dt.datetime.now(dt.UTC))
    changes.save(deployment.pin_changes / champion.model_version)
    return Refreshed(champion.version, day, changes.added.num_rows, len(changes.removed))


def is_due(deployment: Deployment) -> str | None:
    """What a refresh would be about, if Pins have come since the last; None: nothing.

    That is the newest version of the catalogue, with the model that serves.
    """
    champion = Registry(deployment).champion()
    snapshot = deployment.lake.snapshot("pins")
    if champion is None or snapshot is None or not snapshot.files:
        return None
    newest = max(snapshot.files)
    return f"{champion.model_version}-{newest}-{snapshot.key(newest)}"
