"""What the server answers with: a bundle and the features of a day, loaded and checked as one.

A release never changes. The server holds one and lets go of it as a whole, so that no answer is of
two.
"""

import datetime as dt
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc

from convcg_model.catalogue import UNKNOWN_PIN
from convcg_model.eligible import Eligible
from convcg_model.index import IndexBundle, load_bundle
from convcg_model.live_index import LiveIndex, load_changes
from convcg_model.pin_filter import PinFilter
from convcg_model.user_tower import UserTower
from convcg_serving.champion import Champion
from convcg_serving.day_features import DayFeatures, load_day_features
from convcg_serving.requests import (
    Candidate,
    CandidateAnswer,
    CandidateRequest,
    Fallback,
    check_ids,
)
from convcg_serving.user_rows import HISTORY, user_rows

MAX_MASKS = 256
"""Filters whose Pins are kept in mind, at most."""
MAX_MASK_BYTES = 256 * 1024**2
BYTES_PER_PIN = 18
"""Of one filter: mask, bits and places, once for all Pins and once for those of the bundle."""
NOBODY = PinFilter()


@dataclass(frozen=True)
class Release:
    """One champion with one day's features. `features` None: no user is known."""

    champion: Champion
    index: LiveIndex
    tower: UserTower
    features: DayFeatures | None
    masks: "_Masks" = field(default_factory=lambda: _Masks())

    @property
    def bundle(self) -> IndexBundle:
        """The bundle that the index rests on."""
        return self.index.bundle

    @property
    def pins_as_of(self) -> dt.datetime:
        """When the Pins were last brought up to date."""
        begin = dt.datetime.combine(self.champion.day, dt.time(), dt.UTC)
        return self.index.as_of or begin

    @property
    def is_behind(self) -> bool:
        """Whether the users' features are of a day before the model's."""
        return self.features is not None and self.features.day < self.champion.day

    def try_out(self, *, now: dt.datetime) -> None:
        """Answer one request, before somebody's depends on it; it raises where it cannot.

        What is made on demand and kept, such as the order of ids, is there from then on.
        """
        someone = None
        if self.features is not None and self.features.users.num_rows:
            someone = self.features.users["user_id"][0].as_py()
        answer = self.answer([CandidateRequest(user_id=someone, k=1)], now=now)[0]
        if isinstance(answer, ValueError):
            raise answer

    def answer(
        self, requests: Sequence[CandidateRequest], *, now: dt.datetime
    ) -> list[CandidateAnswer | ValueError]:
        """Answers in the order of the requests; a ValueError where one cannot be asked so.

        Users are embedded together, and those with the same filter searched together.
        """
        answers: list[CandidateAnswer | ValueError] = []
        good: list[int] = []
        for place, request in enumerate(requests):
            wrong = self._fault(request)
            answers.append(wrong or ValueError("not answered"))
            if wrong is None:
                good.append(place)
        if not good:
            return answers
        asked = [requests[place] for place in good]
        for place, answer in zip(good, self._answer(asked, now=now), strict=True):
            answers[place] = answer
        return answers

    def _fault(self, request: CandidateRequest) -> ValueError | None:
        """What is wrong with a request, told before it is answered with others."""
        users = None if self.features is None else self.features.user_id_kind
        try:
            check_ids(request, user_ids=users, pin_ids=self.tower.spec.pins.kind)
            self.masks.of(request.filters, self.index.pins)
        except ValueError as error:
            return error
        return None

    def _answer(
        self, requests: Sequence[CandidateRequest], *, now: dt.datetime
    ) -> list[CandidateAnswer]:
        table, is_stored = user_rows(requests, self.tower.spec, self.features, now=now)
        embeddings, repeats = self.tower.embed_with_repeats(self.tower.encode(table))
        found: dict[int, tuple[list[int | str | None], list[float]]] = {}
        for wanted in dict.fromkeys(request.filters for request in requests):
            rows = [i for i, request in enumerate(requests) if request.filters == wanted]
            # Deeper where some Pins are not wanted: what is left is still the best k.
            deepest = max(requests[i].k + len(requests[i].exclude_pin_ids) for i in rows)
            ids, scores = self.index.search(
                embeddings[rows],
                deepest,
                repeats=repeats.of_rows(rows),
                eligible=self.masks.of(wanted, self.index.pins),
            )
            found |= dict(zip(rows, zip(ids.tolist(), scores.tolist(), strict=True), strict=True))
        subjects = self.tower.catalogue.rows(
            table["subject_pin_id"].combine_chunks(), role="subject_pin_id"
        )
        lengths = pc.list_value_length(table["user_recent_pin_ids"]).to_pylist()
        return [
            self._as_answer(
                request,
                *found[i],
                fallbacks=[
                    *(["unknown user"] if not is_stored[i] else []),
                    *(["no history"] if not lengths[i] else []),
                    *(["unknown subject Pin"] if subjects[i] == UNKNOWN_PIN else []),
                ],
            )
            for i, request in enumerate(requests)
        ]

    def _as_answer(
        self,
        request: CandidateRequest,
        ids: list[int | str | None],
        scores: list[float],
        *,
        fallbacks: list[Fallback],
    ) -> CandidateAnswer:
        unwanted = set(request.exclude_pin_ids)
        kept = [(id_, score) for id_, score in zip(ids, scores, strict=True) if id_ not in unwanted]
        pins = tuple(Candidate(id_, s) for id_, s in kept[: request.k] if id_ is not None)
        if len(pins) < request.k:
            fallbacks.append("fewer than k" if pins else "no eligible Pins")
        return CandidateAnswer(
            pins=pins,
            model_version=self.champion.model_version,
            version=self.champion.version,
            features_day=None if self.features is None else self.features.day,
            fallbacks=tuple(fallbacks),
        )


def check_bundle(bundle: IndexBundle, champion: Champion) -> IndexBundle:
    """The bundle; ValueError where it is not that of the champion's model."""
    if bundle.model_version != champion.model_version:
        raise ValueError(
            f"{champion.bundle} holds model {bundle.model_version[:12]}..., but version "
            f"{champion.version} is model {champion.model_version[:12]}..."
        )
    return bundle


def check_features(features: DayFeatures, bundle: IndexBundle, *, path: Path) -> DayFeatures:
    """The features; ValueError where they are of other logs than the bundle's model, or lack
    something that it reads."""
    spec = bundle.model.spec
    if features.pin_id_kind != spec.pins.kind:
        raise ValueError(f"{path}: Pins' ids are not {spec.pins.kind}, as the model's are")
    read = {*spec.context, *(HISTORY if spec.actions else ())}
    for number in spec.user_numeric:
        read |= {number.column, number.denominator or number.column}
    named = {name.removeprefix("user_") for name in read if name.startswith("user_")}
    missing = sorted(named - set(features.users.column_names))
    if missing:
        raise ValueError(f"{path}: users have no {', '.join(missing)}, which the model reads")
    return features


def make_release(champion: Champion, index: LiveIndex, features: DayFeatures | None) -> Release:
    """A release of parts that were checked."""
    catalogue = None if features is None else features.pins
    return Release(champion, index, index.bundle.model.user_tower(catalogue=catalogue), features)


def load_release(
    champion: Champion, features: Path | None, *, changes: Path | None = None
) -> Release:
    """Load a champion's bundle and the features of a folder, and check that they fit.

    `changes` is a folder of Pins that came and went since (`live_index.py`). ValueError where a
    file is damaged, or where bundle and features are of different logs.
    """
    bundle = check_bundle(load_bundle(champion.bundle), champion)
    day = None
    if features is not None:
        day = check_features(load_day_features(features), bundle, path=features)
    index = LiveIndex(bundle, None if changes is None else load_changes(changes))
    return make_release(champion, index, day)


def most_masks(num_pins: int) -> int:
    """How many filters are kept with so many Pins: the more Pins, the fewer.

    >>> most_masks(1_000), most_masks(1_000_000)
    (256, 14)
    """
    return max(1, min(MAX_MASKS, MAX_MASK_BYTES // (BYTES_PER_PIN * max(1, num_pins))))


class _Masks:
    """Which Pins meet a filter, of those asked for lately."""

    def __init__(self) -> None:
        self._kept: OrderedDict[PinFilter, Eligible] = OrderedDict()
        self._lock = Lock()

    def of(self, wanted: PinFilter, pins: pa.Table) -> Eligible | None:
        """Those of the Pins, or None where all may be shown."""
        if wanted == NOBODY:
            return None
        with self._lock:
            if wanted in self._kept:
                self._kept.move_to_end(wanted)
                return self._kept[wanted]
        mask = Eligible(wanted.mask(pins))
        with self._lock:
            self._kept[wanted] = mask
            while len(self._kept) > most_masks(pins.num_rows):
                self._kept.popitem(last=False)
        return mask
