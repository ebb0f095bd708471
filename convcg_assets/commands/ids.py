"""Ids as a user types them, in the type that the tables hold them in."""

from convcg_assets.commands.console import Failure
from convcg_assets.sources.source import Source

INT64 = range(-(2**63), 2**63)


def read_id(source: Source, kind: str, text: str) -> int | str:
    """An id of a kind, typed as the source says it is; Failure where it can be none."""
    if source.id_types[kind] == "string":
        return text
    is_number = text.removeprefix("-").isdecimal() and str(int(text)) == text
    if not is_number or int(text) not in INT64:
        raise Failure(
            f"{text!r} is no {kind} of this log: its ids are integers (id_types.{kind}), "
            "written without leading zeros, of 64 bits"
        )
    return int(text)
