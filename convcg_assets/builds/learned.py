"""What the model of a day T knows of labels: the examples that it was trained on, or judged on.

Rows are read by the versions of tables that the model recorded (`trained.py`). Which labels are
known to it is the rule of `tables/example_rows.py`, told in words.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import ibis
from deltalake.exceptions import DeltaError
from ibis.backends.duckdb import Backend

from convcg_assets.builds.explained import LABELS, NEGATIVES, Id, Row, known_since
from convcg_assets.builds.state import artifact_keys
from convcg_assets.builds.trained import EXAMPLES, provenance_of, trained_examples
from convcg_assets.days import Days
from convcg_assets.deployment import Deployment
from convcg_assets.tables.example_rows import EXAMPLE
from convcg_assets.tables.table import DAY

KEY = ("task", "evidence_id", "evidence_dt", "since_dt")
"""What tells the labels of an impression apart."""


@dataclass(frozen=True)
class Learned:
    """The model of a day: `window` are its days of examples, from `cutoff` on the holdout.

    `examples`, `labels` and `negatives` are rows of the impressions that were asked about, as it
    read them.
    `other_settings`: it was trained by other settings than those that its examples are read by now.
    """

    day: dt.date
    window: Days
    cutoff: dt.date
    other_settings: bool
    examples: list[Row]
    labels: list[Row]
    negatives: list[Row]

    def examples_of(self, impression: Row) -> list[Row]:
        """The examples that an impression is; positives first."""
        place = _place(impression, "impression_day")
        found = [row for row in self.examples if _place(row, "example_day") == place]
        return sorted(found, key=lambda row: (row["is_negative"], row["task"] or ""))

    def label_read(self, label: Row) -> Row | None:
        """A label as the model read it; None where it was not there."""
        for row in self.labels:
            if _place(row) == _place(label) and _key(row) == _key(label):
                return row
        return None

    def gone(self, impression: Row, labels: Iterable[Row]) -> list[Row]:
        """The labels of an impression that the model knows, other than those that it has now."""
        kept, place = {_key(label) for label in labels}, _place(impression, "impression_day")
        theirs = [row for row in self.labels if _place(row) == place and _key(row) not in kept]
        return [row for row in theirs if self.why_not(row) is None]

    def why_not(self, label: Row) -> str | None:
        """Why the model does not know a label; None where it does."""
        if label["dt"] not in self.window:
            return f"its examples are of the days {self.window}"
        is_train = label["dt"] < self.cutoff
        as_of = self.cutoff if is_train else self.day
        takes = f"{'training' if is_train else 'the holdout'} took what was known before {as_of}"
        read = self.label_read(label)
        if known_since(read or label) >= as_of:
            return f"known since {known_since(read or label)}, and {takes}"
        if read is None:
            return f"the labels of {label['dt']} that it read did not have it"
        if read["until_dt"] is not None and read["until_dt"] < as_of:
            return f"it held until {read['until_dt']}, and {takes}"
        return None if read["weight"] > 0 else "it weighs nothing"

    def why_no_negative(self, negative: Row) -> str | None:
        """Why the model did not learn from a hard negative; None where it did."""
        trained = Days(self.window.first, self.cutoff - DAY)
        if negative["dt"] not in trained:
            return f"its hard negatives are of the days {trained}"
        read = next((row for row in self.negatives if _place(row) == _place(negative)), None)
        took = f"training took what was known before {self.cutoff}"
        if (read or negative)["impression_dt"] >= self.cutoff:
            return f"known since {(read or negative)['impression_dt']}, and {took}"
        if read is None:
            return f"the hard negatives of {negative['dt']} that it read did not have it"
        if read["engaged_dt"] is not None and read["engaged_dt"] < self.cutoff:
            return f"it was engaged with by {read['engaged_dt']}, and {took}"
        place = _place(negative)
        if any(e["is_negative"] and _place(e, "example_day") == place for e in self.examples):
            return None
        return f"its user had engaged with or converted on the same Pin, and {took}"


def model_days(deployment: Deployment) -> list[dt.date]:
    """The days that have a model, in order."""
    return sorted(artifact_keys("two_tower_checkpoint", home=deployment.home))


def read_learned(
    deployment: Deployment, day: dt.date, impressions: list[Row], *, con: Backend
) -> Learned:
    """What the model of a day knows of impressions.

    Raises ValueError where the model does not say what it was trained on, or where that is gone.
    """
    settings = deployment.settings.examples
    num_days = settings.training_days + settings.holdout_days
    recorded = provenance_of(deployment, day)
    ids = sorted({row["impression_id"] for row in impressions})
    try:
        examples = trained_examples(deployment, day, con=con)
        if examples is None:
            raise ValueError(
                f"the model of {day} does not say which versions of the tables it was trained on; "
                f"one that is trained again does: `convcg run --last-day {day - DAY} --only "
                f"{EXAMPLES} --only two_tower_checkpoint`"
            )
        versions = recorded["table_versions"]
        days = {row["impression_day"] for row in impressions}
        labels, negatives = (
            deployment.lake.read(table, days, con=con, version=versions[table])
            for table in (LABELS, NEGATIVES)
        )
        return Learned(
            day,
            Days(day - num_days * DAY, day - DAY),
            day - settings.holdout_days * DAY,
            _settings_differ(deployment, recorded.get("examples", {}).get("settings")),
            _fetch(examples.select(*EXAMPLE), ids, con=con),
            _fetch(labels, ids, con=con),
            _fetch(negatives, ids, con=con),
        )
    except (DeltaError, OSError, duckdb.IOException):
        raise ValueError(
            f"the model of {day} was trained on files of the lake that are gone, as they are after "
            "`convcg forget`: `convcg forget --retrain` trains such models again"
        ) from None


def _settings_differ(deployment: Deployment, recorded: str | None) -> bool:
    """Whether examples were made by other settings, or another version of their table."""
    return recorded is not None and recorded != deployment.recipes[EXAMPLES].settings


def _fetch(rows: ibis.Table, ids: list[Id], *, con: Backend) -> list[Row]:
    kind = rows.impression_id.type()
    wanted = rows.impression_id.isin([ibis.literal(one, kind) for one in ids])
    return con.to_pyarrow(rows.filter(wanted)).to_pylist()


def _place(row: Row, day: str = "dt") -> tuple:
    return row["impression_id"], row["impression_ts"], row[day]


def _key(label: Row) -> tuple:
    return tuple(label[name] for name in KEY)
