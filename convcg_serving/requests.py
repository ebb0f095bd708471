"""What can be asked of the server and what it answers: fields, limits, meanings."""

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from convcg_model.pin_filter import Id, PinFilter

MAX_K = 1000
MAX_ACTIONS = 500
MAX_EXCLUDED = 1000
Surface = Literal["homefeed", "related_pins", "search"]
Fallback = Literal[
    "unknown user", "no history", "unknown subject Pin", "no eligible Pins", "fewer than k"
]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Action(_Plain):
    """Something that the person did, maybe a minute ago."""

    pin_id: Id
    action: str = Field(max_length=64, description="click, repin, checkout, ... as in the logs")
    at: dt.datetime | None = Field(default=None, description="when; null: now")


class Profile(_Plain):
    """Who asks, where no user id is known or what is stored is not to count."""

    country: str | None = Field(default=None, max_length=64)
    age_bucket: str | None = Field(default=None, max_length=64)
    gender: str | None = Field(default=None, max_length=64)


class CandidateRequest(_Plain):
    """Who asks for candidates, and where."""

    user_id: Id | None = Field(default=None, description="whose stored features are read")
    profile: Profile | None = Field(
        default=None, description="takes the place of what is stored, field by field"
    )
    recent_actions: Annotated[tuple[Action, ...], Field(max_length=MAX_ACTIONS)] = Field(
        default=(),
        description="in any order; each takes the place of those stored of the same Pin and kind",
    )
    replace_history: bool = Field(
        default=False, description="forget the stored actions: only those of the request count"
    )
    surface: Surface = Field(default="homefeed")
    subject_pin_id: Id | None = Field(default=None, description="Related Pins: what is looked at")
    query: str | None = Field(default=None, max_length=1000, description="Search: the query")
    k: int = Field(default=100, ge=1, le=MAX_K, description="how many Pins are wanted")
    filters: PinFilter = Field(default=PinFilter(), description="what may be shown")
    exclude_pin_ids: Annotated[tuple[Id, ...], Field(max_length=MAX_EXCLUDED)] = Field(
        default=(), description="never these, such as what is on the page already"
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Pin, and its score: inner product of user and Pin, and what repeating adds."""

    pin_id: Id
    score: float


@dataclass(frozen=True, slots=True)
class CandidateAnswer:
    """The best Pins, best first, and what they rest on; all of it is of one release.

    No pydantic model: checking a hundred Pins took longer than finding them.
    """

    pins: tuple[Candidate, ...]
    model_version: str
    version: Annotated[
        str, Field(description="version in the registry; empty for a bundle by its path")
    ]
    features_day: Annotated[dt.date | None, Field(description="day T of the users' features")]
    fallbacks: Annotated[
        tuple[Fallback, ...], Field(description="what was not known, or not there")
    ]

    def to_json(self) -> bytes:
        """As the server answers it."""
        return _ANSWER.dump_json(self)


_ANSWER = TypeAdapter(CandidateAnswer)


def check_ids(request: CandidateRequest, *, user_ids: str | None, pin_ids: str) -> None:
    """ValueError, naming the field, where an id is of another type than the logs' (`int64` or
    `string`); `user_ids` None: no users are known."""
    if user_ids is not None:
        _check_id("user_id", request.user_id, user_ids)
    _check_id("subject_pin_id", request.subject_pin_id, pin_ids)
    for action in request.recent_actions:
        _check_id("recent_actions: pin_id", action.pin_id, pin_ids)
    for pin_id in request.exclude_pin_ids:
        _check_id("exclude_pin_ids", pin_id, pin_ids)


def _check_id(name: str, value: Id | None, kind: str) -> None:
    if value is None:
        return
    if kind == "string" and not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, but such ids are text here")
    if kind == "int64" and not (isinstance(value, int) and -(2**63) <= value < 2**63):
        raise ValueError(f"{name} is {value!r}, but such ids are 64-bit integers here")
