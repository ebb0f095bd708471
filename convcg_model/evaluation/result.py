"""What an evaluation found, as plain values that go to JSON and back.

How the figures are computed is in `evaluation.py`; how they are shown is no business of this
package.
"""

from datetime import date

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EvaluationConfig(_Result):
    """What is measured, on how many queries, and how sure the intervals are."""

    recall_ks: tuple[int, ...] = Field(default=(10, 100, 1000), description="k of each recall@k.")
    ndcg_k: int = Field(default=100, ge=1, description="k of NDCG@k.")
    headline_k: int = Field(
        default=100, ge=1, description="k of the recall that models are compared by."
    )
    model: str = Field(default="model", description="Scorer that the others are compared with.")
    oracle: str = Field(
        default="oracle", description="Scorer that is the ceiling, where one is given."
    )
    champion: str = Field(
        default="champion", description="Scorer of the model in service, where one is given."
    )
    max_queries: int = Field(
        default=10_000,
        ge=1,
        description="Queries per task; of more, those first by a hash of their id.",
    )
    min_slice_queries: int = Field(
        default=20, ge=1, description="Below it a slice is flagged too small."
    )
    new_pin_days: float = Field(default=7.0, gt=0, description="A Pin younger than this is new.")
    horizon_days: int = Field(
        default=37, ge=0, description="Days until a day's labels are complete."
    )
    as_of: date | None = Field(
        default=None,
        description="The day before which the labels had arrived; null: day T of the model.",
    )
    max_maturity_factor: float | None = Field(
        default=None,
        ge=1,
        description="w_max of the examples' maturity factors; a larger factor is refused.",
    )
    num_resamples: int = Field(default=500, ge=10, description="Bootstrap resamples of the users.")
    level: float = Field(default=0.95, gt=0, lt=1, description="Coverage of the intervals.")
    num_examples: int = Field(default=9, ge=0, description="Example queries of the report.")
    num_results: int = Field(default=10, ge=1, description="Pins shown per example query.")
    max_cells: int = Field(
        default=10_000_000, ge=1, description="Scores held at a time: queries x Pins."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the bootstrap.")

    @model_validator(mode="after")
    def _headline_is_measured(self) -> "EvaluationConfig":
        if self.headline_k not in self.recall_ks or min(self.recall_ks) < 1:
            raise ValueError(
                f"headline_k={self.headline_k} must be one of recall_ks={self.recall_ks}, all >= 1"
            )
        return self


class Estimate(_Result):
    """A mean over queries, with the percentile-bootstrap interval over users."""

    value: float = Field(description="Each query weighted by its maturity and its match.")
    low: float
    high: float
    unweighted: float = Field(description="The same mean, each query counted once.")


class Figures(_Result):
    """One scorer on one slice of one task's queries."""

    scorer: str
    task: str
    dimension: str = Field(description="What the queries are sliced by; `all` for all of them.")
    group: str = Field(description="Which of them.")
    num_queries: int
    num_users: int
    maturity: float | None = Field(
        description="Estimated share of the slice's labels that have arrived; null if not known."
    )
    effective_queries: float = Field(
        description="Equally weighted queries that would be as informative (Kish)."
    )
    too_small: bool = Field(description="Fewer queries than `min_slice_queries`.")
    metrics: dict[str, Estimate] = Field(description="By name: recall@10, ..., ndcg@100.")
    share_of_ceiling: dict[str, float] = Field(
        description="Value over the oracle's on the same queries; empty without an oracle."
    )


class Difference(_Result):
    """The model's metric minus another scorer's on the same queries, resampled together."""

    task: str
    dimension: str
    group: str
    against: str
    metric: str
    estimate: Estimate


class TaskQueries(_Result):
    """The queries of one task."""

    task: str
    num_positives: int = Field(description="Held-out positives.")
    num_queries: int = Field(description="Of them evaluated.")
    num_users: int
    maturity: float | None = Field(
        description="Estimated share of the held-out positives that have arrived; null: not known."
    )
    num_capped: int = Field(
        description="Queries whose factor is w_max: they may stand for more than they count."
    )
    num_targets_not_indexed: int = Field(
        description="Queries whose Pin is not among its day's candidates; misses for every scorer."
    )


class LabelDay(_Result):
    """How ripe the labels of one held-out day are."""

    day: date
    label_age_days: int = Field(description="Days from the impression day to `as_of`.")
    num_conversions: int = Field(description="Those that have arrived.")
    conversion_maturity: float | None = Field(
        description="Estimated share of the day's conversions that they are; null if not known."
    )
    num_engagements: int
    num_candidates: int = Field(description="Pins of that day's snapshot.")


class PinCard(_Result):
    """A Pin as shown to a person; only the id is known of a Pin outside the day's snapshot."""

    pin_id: str
    title: str | None = None
    category: str | None = None
    price: float | None = None
    advertiser_id: str | None = None


class Action(_Result):
    """Something that the person did before the day of the query."""

    pin: PinCard
    action: str | None
    age_days: float | None


class ResultPin(_Result):
    """A Pin that the model returned."""

    pin: PinCard
    score: float
    is_target: bool
    is_recent: bool = Field(description="Among the recent actions of the query.")


class ExampleQuery(_Result):
    """One query, what the model returned, and what the person took."""

    task: str
    day: date
    impression_id: str
    user_id: str
    surface: str | None
    subject: PinCard | None
    query: str | None
    seen_before: bool | None
    match_level: str | None = Field(
        default=None, description="Conversion: credited to this Pin by `pin` or `advertiser`."
    )
    recent: tuple[Action, ...] = Field(description="Newest first.")
    results: tuple[ResultPin, ...] = Field(description="Best first.")
    target: PinCard
    ranks: dict[str, float | None] = Field(
        description="Rank of the target by scorer; null if it was not among the candidates."
    )


class Evaluation(_Result):
    """Everything that one evaluation found."""

    day: date = Field(description="Day T of the model.")
    as_of: date = Field(description="The day before which the labels had arrived, T or later.")
    config: EvaluationConfig
    scorers: tuple[str, ...]
    tasks: tuple[TaskQueries, ...]
    label_days: tuple[LabelDay, ...]
    figures: tuple[Figures, ...]
    differences: tuple[Difference, ...]
    examples: tuple[ExampleQuery, ...]

    @property
    def headline_task(self) -> str:
        """What the model is judged by: conversions, or engagements where none were held out."""
        found = {task.task for task in self.tasks if task.num_queries}
        return "engagement" if found == {"engagement"} else "conversion"

    def find(
        self, *, scorer: str, task: str, dimension: str = "all", group: str = "all"
    ) -> Figures | None:
        """The figures of one scorer on one slice; None if there is no such slice."""
        wanted = (scorer, task, dimension, group)
        for figures in self.figures:
            if (figures.scorer, figures.task, figures.dimension, figures.group) == wanted:
                return figures
        return None
