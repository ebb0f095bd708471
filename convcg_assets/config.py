"""What the source file and the settings have in common: frozen models that refuse unknown keys.

Tables remember what they were built from by a digest of these models. A field that a later release
adds would change every digest, and so make every day stale, although nothing is read otherwise:
declare it by `added`, and it counts only where it is set to something else than its default.
"""

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

_ADDED: dict[str, Any] = {"added": True}


class Frozen(BaseModel):
    """A part of a configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_serializer(mode="wrap")
    def _without_unset_additions(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped = dump(self)
        for name, field in type(self).model_fields.items():
            is_unset = getattr(self, name) == field.get_default(call_default_factory=True)
            if field.json_schema_extra == _ADDED and is_unset:
                dumped.pop(name, None)
        return dumped


def added(default: Any, **given: Any) -> Any:
    """A field that came after the first release: at its default it changes no digest.

    >>> class Windows(Frozen):
    ...     click_days: int = 30
    ...     save_days: int = added(7, description="window after a save")
    >>> Windows().model_dump_json(), Windows(save_days=1).model_dump_json()
    ('{"click_days":30}', '{"click_days":30,"save_days":1}')
    """
    return Field(default=default, json_schema_extra=_ADDED, **given)
