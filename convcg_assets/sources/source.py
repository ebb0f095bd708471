"""A source of logs: one YAML file that says where each stream lies and how to read it.

A stream's own section belongs to `stream.py`, finding and reading the files to `reading.py`, the
rules for rows to `contract.py`.
"""

import datetime as dt
import zoneinfo
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from convcg_assets.config import Frozen, added
from convcg_assets.sources.columns import ID_KINDS, STREAMS, SURFACES
from convcg_assets.sources.stream import Stream, Streams, check_known, log_values, nearest

IdType = Literal["int64", "string"]


class Source(Frozen):
    """A source of logs. `load_source` reads it from YAML."""

    name: str = Field(min_length=1, description="what the source is called in reports")
    first_day: dt.date = Field(description="first day (UTC) that has logs")
    last_day: dt.date | None = Field(
        default=None, description="last day of a closed log; null: it goes on"
    )
    landing: Path = Field(
        default=Path("landing"),
        description="the landing folder, absolute or relative to the source file",
    )
    time_zone: str = Field(
        default="UTC", description="zone of times that name none, such as Europe/Berlin"
    )
    tolerance_minutes: int = Field(
        default=60, ge=0, le=1440, description="how far clocks may be off before a row is rejected"
    )
    late_days: int = Field(
        default=1,
        ge=0,
        le=30,
        description="how many days after its own day an impression or engagement may arrive",
    )
    on_missing_day: Literal["fail", "empty"] = Field(
        default="fail", description="a day without a folder: an error, or a day without events"
    )
    id_types: dict[str, IdType] = Field(
        default_factory=dict, description="type of each kind of id: int64 or string (the default)"
    )
    null_values: tuple[str, ...] = added(
        (), description="texts that stand for nothing, such as 'NULL', '\\N', 'undefined'"
    )
    content_dim: int | None = Field(
        default=None,
        ge=1,
        description="length of the Pins' content vectors; null: as in the day's first valid row",
    )
    implied_surface: str = Field(
        default="homefeed",
        description="without an impressions stream: surface of the impressions implied",
    )
    streams: Streams = Field(description="the streams that the log has")
    simulation: dict[str, Any] | None = Field(
        default=None, description="a simulated world's own settings; not for real logs"
    )

    @field_validator("null_values", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        return log_values(value)

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError(
                f"unknown time zone {value!r}; right would be UTC or a name like Europe/Berlin"
            )
        return value

    @field_validator("implied_surface")
    @classmethod
    def _surface(cls, value: str) -> str:
        check_known(value, SURFACES, "surface")
        return value

    @field_validator("id_types")
    @classmethod
    def _kinds(cls, value: dict[str, IdType]) -> dict[str, IdType]:
        for kind in value:
            check_known(kind, ID_KINDS, "kind of id")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.last_day is not None and self.last_day < self.first_day:
            raise ValueError(f"last_day {self.last_day} lies before first_day {self.first_day}")
        # Without impressions, an engagement's id is also the id of the impression that it implies.
        implied = self.id_types.get("engagement_id", "string")
        if (
            self.streams.impressions is None
            and self.id_types.get("impression_id", implied) != implied
        ):
            raise ValueError(
                "without an impressions stream, engagement ids serve as impression ids: give "
                "id_types.impression_id and id_types.engagement_id the same type"
            )
        known: dict[str, IdType] = dict.fromkeys(ID_KINDS, "string")
        if self.streams.impressions is None:
            known["impression_id"] = implied
        object.__setattr__(self, "id_types", known | self.id_types)
        for name in STREAMS:
            for column, mapping in (self.stream(name) or Stream()).columns.items():
                if mapping.join and self.id_type(name, column) == "int64":
                    raise ValueError(
                        f"streams.{name}.columns.{column}: columns joined into one id are text; "
                        f"set id_types.{self.id_kind(name, column)} to string"
                    )
        return self

    def stream(self, name: str) -> Stream | None:
        """The stream of that name; None where the log does not have it."""
        return getattr(self.streams, name)

    def id_kind(self, stream: str, column: str) -> str | None:
        """Kind of the id in a canonical column; None for other columns."""
        spec = STREAMS[stream].columns[column].type
        return spec.removeprefix("id:") if spec.startswith("id:") else None

    def id_type(self, stream: str, column: str) -> IdType | None:
        """`int64` or `string` for an id column; None for other columns."""
        kind = self.id_kind(stream, column)
        return self.id_types[kind] if kind else None


def load_source(path: str | Path) -> Source:
    """The source that a YAML file describes; `landing` becomes absolute.

    Raises ValueError with one line per fault: file, key, what was wrong, what would be right.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"source file {path} does not exist") from None
    except OSError as error:
        raise ValueError(f"source file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"source file {path} is not UTF-8 text: {error}") from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise ValueError(f"source file {path} is not YAML: {said}") from None
    if not isinstance(content, dict):
        raise ValueError(
            f"source file {path} holds no keys; it needs at least name, first_day, streams"
        )
    if isinstance(streams := content.get("streams"), dict):
        # A stream that is named and has no keys has all of its defaults.
        named = {name: {} if keys is None else keys for name, keys in streams.items()}
        content = {**content, "streams": named}
    try:
        source = Source.model_validate(content)
    except ValidationError as error:
        faults = [_explain(fault) for fault in error.errors()]
        raise ValueError("\n".join([f"source file {path}:", *faults])) from None
    return source.model_copy(update={"landing": (path.parent / source.landing).resolve()})


def _explain(fault: Any) -> str:
    """One line for one of pydantic's faults."""
    where = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        allowed = _allowed_keys(fault["loc"])
        guess = nearest(str(fault["loc"][-1]), allowed)
        hint = f"; did you mean {guess!r}?" if guess else "."
        message = f"unknown key{hint} Allowed here: {', '.join(allowed)}"
    elif fault["type"] == "missing":
        message = "missing; this key is required"
    elif fault["type"] not in ("value_error",):
        message = f"{message} (found {fault['input']!r})"
    return f"  {where}: {message}" if where else f"  {message}"


def _allowed_keys(loc: tuple[int | str, ...]) -> list[str]:
    """Keys of the model that a fault's location leads to."""
    model: type[BaseModel] = Source
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        for kind in (field.annotation, *get_args(field.annotation)) if field else ():
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
    return list(model.model_fields)
