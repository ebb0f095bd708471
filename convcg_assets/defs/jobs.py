"""Jobs: the stages of the main job, in their order, by the days that each is run for."""

import dagster as dg

DATA = dg.AssetSelection.groups("raw_events", "attribution", "labels", "negatives")
FEATURES = dg.AssetSelection.groups("features")
MODEL = dg.AssetSelection.groups("model", "retrieval", "evaluation")


def _job(name: str, selection: dg.AssetSelection, description: str):
    return dg.define_asset_job(name, selection=selection, description=description)


jobs = [
    _job("data", DATA, "Logs of the days to labels and hard negatives."),
    _job("features", FEATURES, "Features of the days T, from what arrived before each."),
    _job("model", MODEL, "Examples, model, index and report of day T."),
]
