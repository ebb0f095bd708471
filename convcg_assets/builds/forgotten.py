"""People who have asked to be forgotten: their rows are left out whenever logs are read.

What a forgotten person leaves behind is removed by `forget.py`. Kept is a salted digest of each id,
by which a row is recognised, and not the id.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from convcg_assets.lake.engine import Query
from convcg_assets.tables.raw import REJECTED
from convcg_assets.tables.registry import TABLES

FILE = "forgotten.json"
BETWEEN_WORDS = "[^A-Za-z0-9_.@+-]+"
"""What stands between the values of a line that is no JSON."""


@dataclass(frozen=True)
class Forgotten:
    """The people of a deployment, or some of them: digests of their ids, and the salt of these."""

    salt: str = ""
    digests: tuple[str, ...] = ()

    def digest(self, user_id: object) -> str:
        """The digest of an id, whatever its type."""
        return hashlib.sha256(f"{self.salt}{user_id}".encode()).hexdigest()

    def only(self, user_ids: Iterable[object]) -> "Forgotten":
        """Those people alone."""
        return Forgotten(self.salt, tuple(self.digest(user_id) for user_id in user_ids))

    def rows_of(self, table: str) -> str | None:
        """SQL for whether a row of a table is of one of them; None where no row is of anyone."""
        if not self.digests or table not in TABLES:
            return None
        if table == REJECTED:
            return self._named_in("raw")
        users = [name for name, c in TABLES[table].columns.items() if c.type == "id:user_id"]
        of_one = (self.is_user(name) for name in users)
        return " OR ".join(f"coalesce({one}, false)" for one in of_one) or None

    def left_out(self, table: str, query: Query) -> Query:
        """The rows of a query without theirs; what was rejected stays, without what it held."""
        theirs = self.rows_of(table)
        if theirs is None:
            return query
        if table == REJECTED:
            rows = f"SELECT * REPLACE (CASE WHEN {theirs} THEN NULL ELSE raw END AS raw)"
            text = f"{rows} FROM ({query.text})"
        else:
            text = f"SELECT * FROM ({query.text}) WHERE NOT ({theirs})"
        return Query(text, query.inputs, num_bytes=query.num_bytes)

    def is_user(self, column: str) -> str:
        """SQL for whether a column of ids names one of them."""
        return self._is_one(f"CAST({column} AS VARCHAR)")

    def _is_one(self, value: str) -> str:
        listed = ", ".join(f"'{digest}'" for digest in self.digests)
        return f"sha256('{self.salt}' || {value}) IN ({listed})"

    def _named_in(self, column: str) -> str:
        """Any value of a JSON object, or any word of another text; `7.0` is 7."""
        words = f"regexp_split_to_array({column}, '{BETWEEN_WORDS}')"
        values = f"CASE WHEN json_valid({column}) THEN json_extract_string({column}, '$.*') END"
        every = f"list_concat({words}, coalesce({values}, []))"
        bare = r"regexp_replace(v, '\.0+$', '')"
        found = f"list_filter({every}, lambda v: {self._is_one('v')} OR {self._is_one(bare)})"
        return f"coalesce(len({found}) > 0, false)"


NOBODY = Forgotten()


def read_forgotten(home: Path) -> Forgotten:
    """The people whom a deployment has forgotten. ValueError where the file cannot be read."""
    path = home / FILE
    if not path.exists():
        return NOBODY
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Forgotten(content["salt"], tuple(content["digests"]))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): without it people who asked to be forgotten would "
            "come back. Put its last version in place"
        ) from None


def remember_forgotten(home: Path, user_ids: Iterable[object]) -> Forgotten:
    """Add people to those whom a deployment has forgotten; all of them."""
    known = read_forgotten(home)
    known = Forgotten(known.salt or secrets.token_hex(16), known.digests)
    every = Forgotten(known.salt, tuple(sorted({*known.digests, *known.only(user_ids).digests})))
    path = home / FILE
    unfinished = path.with_suffix(".tmp")
    content = {"salt": every.salt, "digests": list(every.digests)}
    unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
    return every
