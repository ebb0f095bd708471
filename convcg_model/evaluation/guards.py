"""Whether a model may go into service: the guards that it has to pass, each told in a sentence.

The model of a day is the challenger, the one in service the champion. Quality is told from one
evaluation of both on the same queries, paired and resampled together (`evaluate.py`); what would be
served, from both bundles (`served.py`).
"""

from convcg_model.evaluation.result import Difference, Evaluation, Figures
from convcg_model.evaluation.served import Served, score_shift
from convcg_model.evaluation.verdict import Guard, GuardLimits, Verdict
from convcg_model.evaluation.wording import percent, words


def judge(guards: tuple[Guard, ...], *, limits: GuardLimits) -> Verdict:
    """Promotion where every guard holds; one that cannot be told counts as the limits say."""
    failed = [guard.says for guard in guards if guard.holds is False]
    if failed:
        return Verdict(promote=False, reason=" ".join(failed), guards=guards)
    undecided = [guard.says for guard in guards if guard.holds is None]
    if undecided:
        promote = limits.when_undecided == "promote"
        then = (
            "Promoted, as promotion.when_undecided says."
            if promote
            else "Not promoted: promotion.when_undecided is keep."
        )
        return Verdict(promote=promote, reason=" ".join([*undecided, then]), guards=guards)
    return Verdict(promote=True, reason="Every guard holds.", guards=guards)


def quality_guards(evaluation: Evaluation, *, limits: GuardLimits) -> tuple[Guard, ...]:
    """The guards that the held-out queries tell: against the champion, if any, and the baselines.

    The headline is the recall at the evaluation's `headline_k`, of conversions, or of engagements
    where no conversion was held out.
    """
    guards = [_enough(evaluation, limits=limits)]
    guards += [
        _beats_baseline(difference, evaluation, limits=limits)
        for difference in _headline(evaluation)
        if difference.against not in (evaluation.config.oracle, evaluation.config.champion)
    ]
    if evaluation.config.champion in evaluation.scorers:
        guards += _against_champion(evaluation, limits=limits)
    return tuple(guards)


def served_guards(
    challenger: Served, champion: Served | None, *, limits: GuardLimits
) -> tuple[Guard, ...]:
    """The guards that the bundles tell: recall of the index, advertisers reached, scores."""
    recall, least = challenger.index_recall, limits.min_index_recall
    guards = [
        Guard(
            name="index recall",
            holds=recall >= least,
            value=recall,
            against=least,
            says=f"The index finds {percent(recall)} of what exact search finds "
            f"(at least {percent(least)}).",
        )
    ]
    if champion is None:
        return tuple(guards)
    reached, before = challenger.advertisers_reached, champion.advertisers_reached
    if before:
        least_reached = before * (1 - limits.max_reach_loss)
        guards.append(
            Guard(
                name="advertisers reached",
                holds=reached >= least_reached,
                value=reached,
                against=before,
                says=f"{reached:,} advertisers are reached, {before:,} by the champion "
                f"(at least {least_reached:,.0f}).",
            )
        )
    shift = score_shift(champion.scores, challenger.scores)
    guards.append(
        Guard(
            name="score distribution",
            holds=shift <= limits.max_score_shift,
            value=shift,
            against=limits.max_score_shift,
            says=f"The scores differ from the champion's by a population stability index of "
            f"{shift:.2f} (at most {limits.max_score_shift:g}).",
        )
    )
    return tuple(guards)


def _headline(evaluation: Evaluation) -> list[Difference]:
    return [
        d
        for d in evaluation.differences
        if (d.task, d.dimension, d.group) == (evaluation.headline_task, "all", "all")
    ]


def _enough(evaluation: Evaluation, *, limits: GuardLimits) -> Guard:
    figures = evaluation.find(scorer=evaluation.config.model, task=evaluation.headline_task)
    num = figures.num_queries if figures else 0
    enough = num >= limits.min_queries
    return Guard(
        name="queries",
        holds=True if enough else None,
        value=num,
        against=limits.min_queries,
        says=f"{num:,} held-out {evaluation.headline_task} queries"
        + ("." if enough else f" are too few to tell (at least {limits.min_queries:,})."),
    )


def _beats_baseline(
    difference: Difference, evaluation: Evaluation, *, limits: GuardLimits
) -> Guard:
    """A baseline may be ahead by chance and by little, never clearly or by much."""
    value, against = _values(difference, evaluation)
    low, high = difference.estimate.low, difference.estimate.high
    holds = value >= against or (high >= 0 and value >= against * (1 - limits.baseline_margin))
    verb = "is ahead of" if value > against else "is level with" if holds else "loses to"
    return Guard(
        name=f"baseline: {words(difference.against)}",
        holds=holds,
        value=value,
        against=against,
        low=low,
        high=high,
        says=f"The model {verb} {words(difference.against)}: {difference.task} "
        f"{difference.metric} {percent(value)} against {percent(against)}.",
    )


def _against_champion(evaluation: Evaluation, *, limits: GuardLimits) -> list[Guard]:
    guards = []
    for difference in evaluation.differences:
        if difference.against != evaluation.config.champion:
            continue
        where = (difference.task, difference.dimension, difference.group)
        if where == (evaluation.headline_task, "all", "all"):
            guards.insert(0, _not_inferior(difference, evaluation, limits=limits))
        elif _is_guardrail(where, headline=evaluation.headline_task):
            guards.append(_guardrail(difference, evaluation, limits=limits))
    return guards


def _is_guardrail(where: tuple[str, str, str], *, headline: str) -> bool:
    task, dimension, group = where
    if task != headline:
        return dimension == "all"
    return (dimension, group) == ("seen before", "unseen") or dimension == "surface"


def _not_inferior(difference: Difference, evaluation: Evaluation, *, limits: GuardLimits) -> Guard:
    value, against = _values(difference, evaluation)
    low, high = difference.estimate.low, difference.estimate.high
    margin = limits.non_inferiority_margin * against
    holds = True if low >= -margin else False if value < against - margin or high < 0 else None
    said = {
        True: "is not worse than",
        False: "is worse than",
        None: "cannot be told from",
    }[holds]
    return Guard(
        name="champion",
        holds=holds,
        value=value,
        against=against,
        low=low,
        high=high,
        says=f"The challenger {said} the champion: {difference.task} {difference.metric} "
        f"{percent(value)} against {percent(against)}, difference "
        f"{percent(low, signed=True)} to {percent(high, signed=True)} "
        f"(must lie above {percent(-margin, signed=True)}).",
    )


def _guardrail(difference: Difference, evaluation: Evaluation, *, limits: GuardLimits) -> Guard:
    value, against = _values(difference, evaluation)
    low, high = difference.estimate.low, difference.estimate.high
    holds = high >= 0 or value >= against * (1 - limits.guardrail_margin)
    place = (
        "all Pins"
        if difference.dimension == "all"
        else f"{words(difference.dimension)}: {words(difference.group)}"
    )
    return Guard(
        name=f"{difference.task}, {place}",
        holds=holds,
        value=value,
        against=against,
        low=low,
        high=high,
        says=f"{difference.task.capitalize()} {difference.metric}, {place}: {percent(value)} "
        f"against the champion's {percent(against)}" + ("." if holds else ", worse beyond chance."),
    )


def _values(difference: Difference, evaluation: Evaluation) -> tuple[float, float]:
    """The model's figure and the other's, on the slice of a difference."""
    where = {
        "task": difference.task,
        "dimension": difference.dimension,
        "group": difference.group,
    }

    def value(scorer: str) -> float:
        found: Figures | None = evaluation.find(scorer=scorer, **where)
        assert found is not None, (scorer, where)
        return found.metrics[difference.metric].value

    return value(evaluation.config.model), value(difference.against)
