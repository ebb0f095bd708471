"""The pipeline's settings, from attribution and delay to examples; one YAML file.

What the logs look like belongs to `sources/source.py`, the model's own settings to
`convcg_model/config.py`.
"""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from convcg_assets.config import Frozen, added
from convcg_assets.tables.candidate_settings import CandidateSettings
from convcg_assets.tables.credit_models import CREDIT_MODELS
from convcg_model.evaluation.verdict import GuardLimits

WindowDays = Literal[0, 1, 7, 14, 30, 60]


class AttributionSettings(Frozen):
    """Which touches a conversion may be credited to, and how the credit is shared."""

    click_window_days: WindowDays = Field(
        default=30, description="window after a click; 0 switches it off"
    )
    engagement_window_days: WindowDays = Field(
        default=30, description="window after a repin or close-up"
    )
    view_window_days: WindowDays = Field(default=1, description="window after an impression")
    model: str = Field(
        default="last_touch", description="how credit is shared: one of `credit_models.py`"
    )
    half_life_hours: float = Field(
        default=168.0, gt=0, description="time decay: credit halves in this time"
    )
    dedup_window_hours: int = Field(
        default=48,
        ge=0,
        le=240,
        description="the same event received within this time is one conversion",
    )
    max_reporting_lag_days: int = Field(
        default=7,
        ge=0,
        le=60,
        description="longest time from a conversion to its arrival that is waited for",
    )

    @field_validator("model")
    @classmethod
    def _known_model(cls, value: str) -> str:
        if value not in CREDIT_MODELS:
            raise ValueError(f"unknown credit model {value!r}; known: {', '.join(CREDIT_MODELS)}")
        return value

    @property
    def window_days(self) -> dict[str, int]:
        """The window of each type of touch; 0 switches it off."""
        return {
            "click": self.click_window_days,
            "engagement": self.engagement_window_days,
            "view": self.view_window_days,
        }

    @property
    def longest_window_days(self) -> int:
        """The longest window."""
        return max(self.window_days.values())

    @property
    def horizon_days(self) -> int:
        """H: an impression day goes on gaining conversions for this many days."""
        return self.longest_window_days + self.max_reporting_lag_days

    @property
    def dedup_lookback_days(self) -> int:
        """How many earlier arrival days can hold the first report of a duplicate."""
        return -(-self.dedup_window_hours // 24) + 1


class AdjustmentSettings(Frozen):
    """How long conversions may be taken back or restated."""

    max_days: int = Field(
        default=60,
        ge=1,
        le=365,
        description="an adjustment counts that arrived so many days before or after its conversion",
    )


class DelaySettings(Frozen):
    """How the delay of conversions is estimated, and how unripe labels are weighed by it."""

    estimation_days: int = Field(
        default=28,
        ge=1,
        le=365,
        description="impression days old enough to show the longest delay that curves rest on, "
        "besides the horizon's younger ones",
    )
    advertiser_kappa: float = Field(
        default=20.0, gt=0, le=1e6, description="conversions that the segment's curve counts as"
    )
    segment_kappa: float = Field(
        default=50.0, gt=0, le=1e6, description="conversions that the global curve counts as"
    )
    cadence_days: int = Field(
        default=28,
        ge=14,
        le=365,
        description="arrival days from which it is seen how an advertiser reports",
    )
    weekly_share: float = Field(
        default=0.8,
        gt=0.5,
        le=1,
        description="weekly reporter: at least this share arrives on one weekday",
    )
    min_weekly: int = Field(
        default=10, ge=2, le=1000, description="weekly reporter: at least so much evidence"
    )
    maturity: Literal["none", "global", "advertiser"] = Field(
        default="advertiser",
        description="curve that unripe conversions are weighed by; the first two for comparison",
    )
    maturity_days: int = Field(
        default=7,
        ge=1,
        le=28,
        description="labels of so many days share a factor, by the mean of their maturities: those "
        "that have arrived also stand for days of which nothing has; 1: each day by itself",
    )
    max_maturity_factor: float = Field(
        default=5.0, ge=1, le=100, description="w_max: greatest factor for an unripe label"
    )
    shift_days: int = Field(
        default=7,
        ge=1,
        le=28,
        description="newest arrival days whose reporting lags are compared with those before",
    )
    shift_alarm_rate: float = Field(
        default=0.01,
        gt=0,
        le=0.5,
        description="at most so likely is any alarm on a day on which no advertiser has changed",
    )


class LabelSettings(Frozen):
    """What each kind of evidence is worth."""

    checkout_weight: float = Field(default=1.0, ge=0, description="weight of a checkout")
    add_to_cart_weight: float = Field(default=0.3, ge=0, description="weight of an add-to-cart")
    signup_weight: float = Field(default=0.3, ge=0, description="weight of a signup")
    lead_weight: float = Field(default=0.3, ge=0, description="weight of a lead")
    click_weight: float = Field(
        default=1.0, ge=0, description="weight of a click of duration t_max or more"
    )
    repin_weight: float = Field(default=0.6, ge=0, description="weight of a repin")
    close_up_weight: float = Field(default=0.3, ge=0, description="weight of a close-up")
    advertiser_match_factor: float = Field(
        default=0.3, ge=0, le=1, description="a conversion matched by advertiser, not by Pin"
    )
    click_formula: Literal["log_ratio", "log2_share"] = Field(
        default="log_ratio",
        description="log_ratio: min(1, log(1+t)/log(1+t_max)); "
        "log2_share: log(1+min(t,t_max)/t_max)/log 2",
    )
    click_t_max_s: float = Field(
        default=60.0, gt=0, description="click duration that earns the full weight"
    )
    unknown_duration_factor: float = Field(
        default=0.5, ge=0, le=1, description="factor of a click whose duration was not logged"
    )
    value_reference: float = Field(
        default=50.0, gt=0, description="conversion value whose factor is 1, in the log's currency"
    )
    value_factor_min: float = Field(default=0.5, gt=0, le=1, description="least value factor")
    value_factor_max: float = Field(default=2.0, ge=1, description="greatest value factor")


class NegativeSettings(Frozen):
    """How unengaged impressions are sampled."""

    sample_rate: float = Field(
        default=0.1, ge=0, le=1, description="share of unengaged impressions kept"
    )
    max_per_user_day: int = Field(
        default=5, ge=1, description="cap per user, impression day and arrival day"
    )


class FeatureSettings(Frozen):
    """How far back features look."""

    max_recent_actions: int = Field(
        default=30, ge=1, le=500, description="length of a user's action list"
    )
    active_days: int = Field(
        default=30,
        ge=1,
        le=365,
        description="without a catalogue: a Pin seen in these days is active",
    )


class ExampleSettings(Frozen):
    """Which days a model of day T learns from and is judged on."""

    training_days: int = Field(
        default=30, ge=1, le=365, description="impression days before the holdout"
    )
    holdout_days: int = Field(
        default=5, ge=1, le=60, description="last days before T, kept for evaluation"
    )


class EvaluationSettings(Frozen):
    """When the model of day T is judged again, as the labels of its holdout ripen."""

    repeat_after_days: tuple[int, ...] = Field(
        default=(1, 3, 7, 14, 30, 45),
        description="days after T on which it is evaluated again, with what has arrived by then",
    )


class PromotionSettings(Frozen):
    """When a model goes into service, and how many stay for going back; no row depends on it."""

    guards: GuardLimits = GuardLimits()
    keep_bundles: int = Field(
        default=5, ge=1, description="registered models whose files stay, beside the champion"
    )
    canary_queries: int = Field(
        default=50, ge=1, description="logged queries that a server answers before a promotion"
    )
    canary_max_ms: float = Field(
        default=1000.0, gt=0, description="99 % of the canary's answers must come within it"
    )


class CheckSettings(Frozen):
    """From where on a check warns; no row depends on it."""

    max_no_touch_share: float = Field(
        default=0.5, ge=0, le=1, description="conversions that name a user and found no touch"
    )
    max_no_user_share: float = Field(
        default=0.5, ge=0, le=1, description="conversions that name no user"
    )
    max_duplicate_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="reports that repeat another; with two channels half of them do",
    )
    max_snapshot_age_days: int = Field(
        default=30, ge=1, description="days from the newest snapshot of Pins or users to day T"
    )
    max_ids_per_person: int = Field(
        default=50, ge=2, description="ids that merges say are of one person"
    )


class AlertSettings(Frozen):
    """From where on somebody is told; no row depends on it."""

    max_days_behind: int = Field(
        default=1, ge=0, description="logs behind yesterday, tables behind the logs"
    )
    max_model_days_behind: int = Field(
        default=1, ge=0, description="model, index, report and what serves, behind the logs"
    )
    behind_for_hours: int = Field(
        default=2, ge=0, description="hours that it must last: a history that is built catches up"
    )


class Settings(Frozen):
    """All settings of the data stages; every field has a default."""

    attribution: AttributionSettings = AttributionSettings()
    adjustments: AdjustmentSettings = added(AdjustmentSettings())
    delay: DelaySettings = DelaySettings()
    labels: LabelSettings = LabelSettings()
    negatives: NegativeSettings = NegativeSettings()
    features: FeatureSettings = FeatureSettings()
    examples: ExampleSettings = ExampleSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    checks: CheckSettings = added(CheckSettings())
    promotion: PromotionSettings = added(PromotionSettings())
    candidates: CandidateSettings = added(CandidateSettings())
    alerts: AlertSettings = added(AlertSettings())


def load_settings(path: str | Path | None) -> Settings:
    """Read settings from a YAML file; None gives the defaults.

    Raises ValueError naming the file, the key and what was expected.
    """
    if path is None:
        return Settings()
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        return Settings.model_validate(content)
    except ValidationError as error:
        faults = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ValueError("\n".join([f"settings file {path}:", *faults])) from None
    except OSError as error:
        raise ValueError(f"settings file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"settings file {path} is not YAML: {error}") from None
