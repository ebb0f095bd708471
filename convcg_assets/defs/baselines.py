"""The baselines that every model is held against."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from convcg_model.evaluation.scorers import Scorer


BASELINES = ("popularity", "decayed popularity", "recently viewed", "transitions", "als")
"""Names of their scorers."""


def baseline_scorers(
    examples: "pa.Table",
) -> "tuple[dict[str, Scorer], dict[str, str | int | float | bool]]":
    """The baselines, fitted on the train split of the examples, and the settings they came to."""
    import pyarrow.compute as pc

    from convcg_model.evaluation.als import fit_als
    from convcg_model.evaluation.baselines import DecayedPopularity, popularity, recently_viewed
    from convcg_model.evaluation.transitions import TransitionScorer
    from convcg_model.training_set import select_split

    train = select_split(examples)
    positives = train.filter(pc.invert(train["is_negative"]))
    als = fit_als(positives)
    scorers = {
        "popularity": popularity,
        "decayed popularity": DecayedPopularity(positives),
        "recently viewed": recently_viewed,
        "transitions": TransitionScorer(positives),
        "als": als,
    }
    return scorers, {"ALS factors": als.settings.factors, "ALS alpha": als.settings.alpha}
