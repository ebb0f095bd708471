"""Going back: the model that served before serves again."""

import datetime as dt

from convcg_assets.defs.registry import Move, Registry, Version
from convcg_model.index import load_bundle


def roll_back(registry: Registry, day: dt.date | None, *, by: str, why: str) -> Move:
    """Let the model that served before the champion serve, or the newest registered of a day.

    LookupError where there is none to go back to; ValueError where its files are not what was
    registered.
    """
    champion = registry.champion()
    if champion is None:
        raise LookupError("no model serves: there is nothing to go back from")
    target = _before(registry) if day is None else registry.of_day(day)
    if target is None:
        raise LookupError(
            "no other model has served before: name a day (`convcg models` lists them)"
            if day is None
            else f"no model of {day} is registered (`convcg models` lists them)"
        )
    if target.model.version == champion.version:
        raise LookupError(f"the model of {champion.day} serves already")
    if not target.has_files:
        raise LookupError(
            f"the files of version {target.model.version}, the model of {target.model.day}, are "
            "gone (settings.promotion.keep_bundles says how many stay)"
        )
    load_bundle(target.model.bundle)
    move = registry.move(target.model, by=by, why=why, forced=True)
    registry.withdraw(champion, f"{why} ({by}, {move.at:%Y-%m-%d %H:%M} UTC)")
    return move


def _before(registry: Registry) -> Version | None:
    """What served last before the champion, of what was not taken out of service since."""
    versions = {version.model.version: version for version in registry.versions()}
    served = (versions.get(move.after) for move in registry.history())
    return next((v for v in served if v and not v.serves and v.withdrawn is None), None)
