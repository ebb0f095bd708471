"""What the server knows of users and Pins on a day T: a folder that is written whole.

Users lie in one Arrow file in the order of their ids, and in memory as they lie there. A few rows
among a million are found by halving and taken as they are, with the types that the user tower
reads. The file is read, not mapped: one that is cut short under a server would end it.
"""

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from convcg_model.arrow_columns import as_array, id_kind
from convcg_model.atomic_folder import atomic_folder, check_files, file_checksums
from convcg_model.id_lookup import IdLookup

FORMAT = 1
DESCRIPTION, USERS, PINS = "features.json", "users.arrow", "pins.parquet"


@dataclass(frozen=True)
class DayFeatures:
    """Users and Pins as known before day T.

    `users` has the columns of `user_features` but `dt`, in the order of `user_id`; `pins` what is
    static of the Pins (`catalogue.static_pins`), and their titles.
    """

    day: dt.date
    users: pa.Table
    pins: pa.Table

    def rows_of(self, user_ids: list[int | str | None]) -> np.ndarray:
        """int64 [n]: the row of each user, -1 for who is not known."""
        return self._lookup.find(pa.array(user_ids, self._lookup.ids.type), role="user_id")

    @property
    def user_id_kind(self) -> str:
        """`int64` or `string`."""
        return self._lookup.kind

    @property
    def pin_id_kind(self) -> str:
        """`int64` or `string`."""
        return self.pin_lookup.kind

    @cached_property
    def pin_lookup(self) -> IdLookup:
        """Places of Pins by id."""
        return IdLookup(as_array(self.pins["pin_id"]))

    @cached_property
    def _lookup(self) -> IdLookup:
        return IdLookup(as_array(self.users["user_id"]))


def write_day_features(
    path: Path, users: Iterable[pa.RecordBatch], pins: pa.Table, *, day: dt.date, schema: pa.Schema
) -> int:
    """Write the folder of a day, whole or not at all; the number of users.

    `users` come in the order of `user_id` with the columns of `schema`; ValueError where they do
    not.
    """
    with atomic_folder(path) as folder:
        num, last = 0, None
        with pa.OSFile(str(folder / USERS), "wb") as sink, pa.ipc.new_file(sink, schema) as file:
            for batch in users:
                if not batch.num_rows:
                    continue
                first = batch["user_id"][0].as_py()
                if last is not None and first <= last:
                    raise ValueError(f"users are not in order: {first!r} comes after {last!r}")
                last = batch["user_id"][-1].as_py()
                num += batch.num_rows
                file.write_batch(batch)
        pq.write_table(pins, folder / PINS)
        description = {
            "format": FORMAT,
            "day": str(day),
            "users": num,
            "pins": pins.num_rows,
            "checksums": file_checksums(folder, [USERS, PINS]),
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))
    return num


def load_day_features(path: Path) -> DayFeatures:
    """The features of a folder; ValueError where a file is missing, damaged or was changed."""
    if not (path / DESCRIPTION).is_file():
        raise ValueError(f"{path}: no {DESCRIPTION}; the features of a day are a folder with one")
    description = json.loads((path / DESCRIPTION).read_text())
    if description.get("format") != FORMAT:
        raise ValueError(
            f"{path / DESCRIPTION}: format is {description.get('format')!r}, but this release "
            f"reads {FORMAT}"
        )
    check_files(path, description["checksums"])
    with pa.OSFile(str(path / USERS)) as file:
        users = pa.ipc.open_file(file).read_all()
    features = DayFeatures(
        day=dt.date.fromisoformat(description["day"]),
        # One chunk: of several, Arrow would put all together for each row that is taken.
        users=users.combine_chunks(),
        pins=pq.read_table(path / PINS),
    )
    id_kind(features.users["user_id"])
    return features


def features_below(root: Path) -> list[Path]:
    """The folders of days below a folder, newest first."""
    return sorted(
        (found.parent for found in root.glob(f"dt=????-??-??/{DESCRIPTION}")), reverse=True
    )
