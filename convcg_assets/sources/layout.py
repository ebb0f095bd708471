"""Where the files of a stream's days lie: the template of its path, and what is found by it.

A template is a path with placeholders for the day: `events/{year}/{month}/{day}/{hour}/`. What a
day without files means belongs to `reading.py`, what is in a file to `files.py`.
"""

import datetime as dt
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from itertools import takewhile
from pathlib import Path

PLACEHOLDERS = {
    "date": r"\d{4}-\d{2}-\d{2}",
    "year": r"\d{4}",
    "month": r"\d{2}",
    "day": r"\d{2}",
    "hour": r"\d{2}",
}
"""What may stand in braces in a stream's `path`, and what it looks like in a name."""
UNFINISHED = (
    "*.tmp",
    "*.crc",
    "*.inprogress",
    "*.inprogress.*",
    "*.pending",
    "*.partial",
    "*._COPYING_",
    "_temporary",
)
"""Names that writers give to files and folders that are not done yet, or that are no logs."""
_TOKEN = re.compile(r"\{([^{}]*)\}|\*|[{}]")
_ANY_FILE = "*"
_ANY_FOLDERS = "**"


@dataclass(frozen=True)
class Layout:
    """A template by its parts; the last one names files, `**` any folders below the day."""

    template: str
    parts: tuple[str, ...]

    def folder(self, root: Path, day: dt.date) -> Path:
        """The deepest folder that holds all files of a day."""
        return root.joinpath(*self._fixed(day))

    def root(self, landing: Path) -> Path:
        """The deepest folder that holds the files of all days."""
        return landing.joinpath(*takewhile(lambda part: not _is_pattern(part), self.parts[:-1]))

    def find_day(self, root: Path, day: dt.date, *, unfinished: Sequence[str]) -> "DayFiles":
        """What lies there for a day; files by name below the day's folder, in order."""
        fixed = self._fixed(day)
        found = DayFiles(root.joinpath(*fixed))
        parts = [_Part(_fill(part, day), _names_day(part)) for part in self.parts[len(fixed) :]]
        if found.folder.is_dir():
            found.exists = True
            _Search(found, tuple(unfinished)).walk(found.folder, parts)
        found.files.sort()
        found.left_out.sort()
        if any(part.names_day for part in parts):
            found.wanted = "/".join(part.pattern for part in parts)
        return found

    @property
    def below(self) -> str:
        """The template of the same days with all files in whatever folders below them."""
        last = max(number for number, part in enumerate(self.parts) if _names_day(part))
        if last == len(self.parts) - 1:
            return self.template
        return "/".join([*self.parts[: last + 1], _ANY_FOLDERS]).replace("//", "/")

    def days(self, root: Path, *, unfinished: Sequence[str]) -> set[dt.date]:
        """Every day that there is a folder or a file for; names that are no day are nobody's."""
        return set(_find_days(root, self.parts, {}, tuple(unfinished)))

    def _fixed(self, day: dt.date) -> list[str]:
        """The parts that the day alone decides, as names; the last part names files."""
        names: list[str] = []
        for part in self.parts[:-1]:
            filled = _fill(part, day)
            if _is_pattern(filled):
                break
            names.append(filled)
        return names


@dataclass
class DayFiles:
    """A day's part of the landing zone: `files` are (name below the folder, path)."""

    folder: Path
    exists: bool = False
    files: list[tuple[str, Path]] = field(default_factory=list)
    has_marker: bool = False
    """Whether a name begins with `_` or `.`, such as `_SUCCESS`: it is no log."""
    left_out: list[str] = field(default_factory=list)
    """Names that are those of unfinished files, or not those that the template asks for."""
    strays: list[Path] = field(default_factory=list)
    """What lies where the template does not lead: a file beside folders, a folder beside files."""
    wanted: str | None = None
    """What is looked for in the folder, where it holds other days as well."""


@lru_cache(maxsize=256)
def parse_layout(path: str) -> Layout:
    """The layout of a stream's `path`; without placeholders it is that of `<path>/dt={date}/*`.

    Raises ValueError, with what would be right, where the template does not lead to days.

    >>> parse_layout("events/{year}/{month}/{day}/{hour}/").parts
    ('events', '{year}', '{month}', '{day}', '{hour}', '*')
    >>> parse_layout("events").template
    'events/dt={date}/*'
    """
    names = [token[1] for token in _TOKEN.finditer(path) if token[1] is not None]
    if any(token[0] in ("{", "}") for token in _TOKEN.finditer(path)):
        raise ValueError(f"{path!r}: a brace without its other one; right would be {{date}}")
    for name in names:
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            raise ValueError(f"{path!r}: unknown placeholder {{{name}}}. Known: {known}")
    if "date" not in names and not {"year", "month", "day"} <= set(names):
        if not names and "*" not in path:
            template = f"{path.rstrip('/')}/dt={{date}}/*"
            return Layout(template, _split(template))
        raise ValueError(
            f"{path!r} does not say where a day's files lie: it needs {{date}}, or {{year}}, "
            "{month} and {day}; such as events/{year}/{month}/{day}/{hour}/ or "
            "events/dt={date}/hour=*/"
        )
    parts = _split(path)
    for number, part in enumerate(parts):
        if part in (".", ".."):
            raise ValueError(f"{path!r}: a template leads down; {part!r} cannot stand in it")
        if _ANY_FOLDERS in part and (part != _ANY_FOLDERS or number != len(parts) - 2):
            raise ValueError(
                f"{path!r}: ** stands for any folders below the day, last or just before the "
                "names of files: events/dt={date}/** or events/dt={date}/**/part-*.gz"
            )
        if part == _ANY_FOLDERS and _names_day(parts[-1]):
            raise ValueError(f"{path!r}: ** stands below the day, and here the day comes after it")
    return Layout(path, parts)


def _split(path: str) -> tuple[str, ...]:
    """Parts of a path; one that ends with a slash or `**` names all files there."""
    first, *others = path.split("/")
    if others and others[-1] == "":
        others[-1] = _ANY_FILE
    elif others and others[-1] == _ANY_FOLDERS:
        others.append(_ANY_FILE)
    return (first or "/", *(part for part in others if part))


def _names_day(part: str) -> bool:
    """Whether a part of a template depends on the day."""
    return any(token[1] not in (None, "hour") for token in _TOKEN.finditer(part))


def _fill(part: str, day: dt.date) -> str:
    """A part with the day's own numbers in it."""
    values = {
        "date": day.isoformat(),
        "year": f"{day.year:04}",
        "month": f"{day.month:02}",
        "day": f"{day.day:02}",
    }
    return _TOKEN.sub(lambda token: values.get(token[1], token[0]), part)


def _is_pattern(part: str) -> bool:
    return _TOKEN.search(part) is not None


@lru_cache(maxsize=4096)
def _regex(part: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """A part as a pattern of names, and which placeholder each of its groups is."""
    pattern, names, end = "", [], 0
    for token in _TOKEN.finditer(part):
        pattern += re.escape(part[end : token.start()])
        end = token.end()
        if token[1] is None:
            pattern += ".*"
        else:
            pattern += f"({PLACEHOLDERS[token[1]]})"
            names.append(token[1])
    return re.compile(pattern + re.escape(part[end:]), re.ASCII | re.DOTALL), tuple(names)


def _is_unfinished(name: str, patterns: tuple[str, ...]) -> bool:
    return _any_of(patterns).match(name) is not None


@lru_cache(maxsize=64)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What matches a name that one of the shell's patterns does; without any, none."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)")


@dataclass(frozen=True)
class _Part:
    """A part of a template for one day: `names_day` tells that day's names from those of others."""

    pattern: str
    names_day: bool = False


@dataclass(frozen=True)
class _Search:
    """The files of one day below its folder; hidden names are markers, unfinished ones left out."""

    found: DayFiles
    unfinished: tuple[str, ...]

    def walk(self, folder: Path, parts: Sequence[_Part], *, name: str = "") -> None:
        """Add what lies in a folder, whose own name below the day's folder is given."""
        part, rest = parts[0].pattern, parts[1:]
        if not _is_pattern(part):
            self._enter(folder / part, rest, name=f"{name}{part}")
            return
        # What lies here may be of other days, as long as a part tells them apart.
        is_own = not any(p.names_day for p in parts)
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            label, path = f"{name}{entry.name}", folder / entry.name
            is_hidden = entry.name.startswith(("_", "."))
            if _is_unfinished(entry.name, self.unfinished):
                if not entry.name.startswith(".") and (is_own or _begins_alike(entry.name, part)):
                    self.found.left_out.append(label)
            elif is_hidden:
                self.found.has_marker |= is_own
            elif part == _ANY_FOLDERS and entry.is_dir():
                self.walk(path, parts, name=f"{label}/")
            elif part == _ANY_FOLDERS or not rest:
                self._take(entry, (rest or parts)[0].pattern, path=path, label=label, is_own=is_own)
            elif entry.is_dir() and _regex(part)[0].fullmatch(entry.name):
                self.walk(path, rest, name=f"{label}/")
            elif is_own:
                self.found.strays.append(path)

    def _enter(self, path: Path, rest: Sequence[_Part], *, name: str) -> None:
        """What a part without a pattern leads to: a folder, or the file that it names."""
        if path.is_dir():
            self.walk(path, rest or [_Part(_ANY_FILE)], name=f"{name}/")
        elif path.is_file() and not rest:
            self.found.files.append((name, path))

    def _take(
        self, entry: os.DirEntry[str], pattern: str, *, path: Path, label: str, is_own: bool
    ) -> None:
        """A file, if its name is asked for; `is_own` is whether it is of this day in any case."""
        if entry.is_file() and _regex(pattern)[0].fullmatch(entry.name):
            self.found.files.append((label, path))
        elif is_own:
            (
                self.found.left_out.append(label)
                if entry.is_file()
                else self.found.strays.append(path)
            )


def _begins_alike(name: str, pattern: str) -> bool:
    """Whether a name begins as the pattern does before its first placeholder."""
    first = _TOKEN.search(pattern)
    return first is not None and first.start() > 0 and name.startswith(pattern[: first.start()])


def _find_days(
    folder: Path, parts: Sequence[str], known: dict[str, str], unfinished: tuple[str, ...]
) -> Iterator[dt.date]:
    """The days below a folder, given the placeholders `known` from the names above it."""
    part, rest = parts[0], parts[1:]
    if not _is_pattern(part):
        yield from _find_days(folder / part, rest, known, unfinished)
        return
    pattern, names = _regex(part)
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        match = pattern.fullmatch(entry.name)
        if match is None or _is_unfinished(entry.name, unfinished):
            continue
        values = list(zip(names, match.groups(), strict=True))
        found = {**known, **{n: v for n, v in values if n != "hour"}}
        if any(found[n] != v for n, v in [*values, *known.items()] if n != "hour"):
            continue
        if not ("date" in found or {"year", "month", "day"} <= found.keys()):
            if rest and entry.is_dir():
                yield from _find_days(folder / entry.name, rest, found, unfinished)
            continue
        day = _day_of(found)
        if day is not None and not (entry.name.startswith(("_", ".")) and not rest):
            yield day


def _day_of(found: dict[str, str]) -> dt.date | None:
    """The day that the placeholders name; None where they are no day, or disagree."""
    try:
        text = found.get("date") or "{year}-{month}-{day}".format(**found)
        day = dt.date.fromisoformat(text)
    except ValueError:
        return None
    parts = {"year": f"{day.year:04}", "month": f"{day.month:02}", "day": f"{day.day:02}"}
    return day if all(found.get(name, own) == own for name, own in parts.items()) else None
