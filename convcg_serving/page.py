"""What the page shows of a person: what they did, their candidates and why, now and before."""

import datetime as dt
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from convcg_serving.release import Release
from convcg_serving.requests import CandidateRequest
from convcg_serving.watcher import Watcher

SHOWN = 20
OFFERED = 8


@dataclass(frozen=True)
class Card:
    """A Pin for people. `why` says what of the person's it is near to."""

    pin_id: str
    title: str | None
    category: str | None
    price: float | None
    advertiser: str | None
    note: str = ""
    why: str = ""


@dataclass(frozen=True)
class Column:
    """The candidates of one release."""

    heading: str
    cards: list[Card]
    fallbacks: tuple[str, ...]


@dataclass
class Shown:
    """All that the page says."""

    user_id: str
    surface: str
    subject: str
    query: str
    offered: list[str] = field(default_factory=list)
    did: list[Card] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    fault: str | None = None
    features_day: dt.date | None = None


def show_user(watcher: Watcher, *, user_id: str, surface: str, subject: str, query: str) -> Shown:
    """The page of a person; what cannot be shown is said in `fault`."""
    shown = Shown(user_id=user_id, surface=surface, subject=subject, query=query)
    release = watcher.release
    if release is None:
        shown.fault = watcher.fault or "no model is in service yet"
        return shown
    shown.fault = watcher.fault
    if release.features is not None:
        shown.features_day = release.features.day
        shown.offered = _some_users(release)
    try:
        request = _request(release, user_id=user_id, surface=surface, subject=subject, query=query)
        shown.columns.append(_column(release, request, is_now=True))
        shown.did = _actions(release, request)
    except ValidationError as error:
        shown.fault = "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors())
    except ValueError as error:
        shown.fault = str(error)
    else:
        _show_before(shown, watcher, request)
    return shown


def _show_before(shown: Shown, watcher: Watcher, request: CandidateRequest) -> None:
    """Add what the champion of before answers; that it cannot be asked hides nothing else."""
    try:
        before = watcher.before()
        if before is not None:
            shown.columns.append(_column(before, request, is_now=False))
    except Exception as error:
        said = f"the model before cannot be shown: {error}"
        shown.fault = f"{shown.fault}; {said}" if shown.fault else said


def _request(
    release: Release, *, user_id: str, surface: str, subject: str, query: str
) -> CandidateRequest:
    """What the form asks, with ids as the logs have them."""
    user_ids = "string" if release.features is None else release.features.user_id_kind
    return CandidateRequest.model_validate(
        {
            "user_id": _as_id(user_id, user_ids),
            "surface": surface,
            "subject_pin_id": _as_id(subject, release.tower.spec.pins.kind),
            "query": query or None,
            "k": SHOWN,
        }
    )


def _as_id(text: str, kind: str) -> int | str | None:
    text = text.strip()
    if not text:
        return None
    if kind == "string":
        return text
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no id: they are integers here") from None


def _some_users(release: Release) -> list[str]:
    """Those with the longest histories among some drawn evenly."""
    assert release.features is not None
    users = release.features.users
    drawn = users.take(
        pa.array(np.linspace(0, users.num_rows - 1, min(200, users.num_rows), dtype=int))
    )
    lengths = [len(pins or ()) for pins in drawn["recent_pin_ids"].to_pylist()]
    best = np.argsort(lengths, kind="stable")[::-1][:OFFERED]
    return [str(id_) for id_ in drawn["user_id"].take(pa.array(best)).to_pylist()]


def _actions(release: Release, request: CandidateRequest) -> list[Card]:
    """What the person did, newest first."""
    if release.features is None:
        return []
    place = int(release.features.rows_of([request.user_id])[0])
    if place < 0:
        return []
    row = release.features.users.slice(place, 1).to_pylist()[0]
    actions = zip(
        row["recent_pin_ids"] or (),
        row["recent_actions"] or (),
        row["recent_age_days"] or (),
        strict=True,
    )
    told = list(actions)[:SHOWN]
    cards = _cards(release, [pin_id for pin_id, *_ in told])
    notes = [f"{action.replace('_', ' ')}, {_ago(age)}" for _, action, age in told]
    return [_with(card, note=note) for card, note in zip(cards, notes, strict=True)]


def _ago(days: float) -> str:
    return f"{days:.0f} days before" if days >= 2 else f"{24 * days:.0f} hours before"


def _column(release: Release, request: CandidateRequest, *, is_now: bool) -> Column:
    """What a release answers; ValueError where it cannot be asked so."""
    answer = release.answer([request], now=dt.datetime.now(dt.UTC))[0]
    if isinstance(answer, ValueError):
        raise answer
    champion = release.champion
    serves = "Serves now" if is_now else "Served before"
    ids = [pin.pin_id for pin in answer.pins]
    reasons = _reasons(release, ids, request)
    cards = [
        _with(card, note=f"{pin.score:.3f}", why=why)
        for card, pin, why in zip(_cards(release, ids), answer.pins, reasons, strict=True)
    ]
    return Column(
        f"{serves}: version {champion.version or 'by its path'}, model of {champion.day}",
        cards,
        answer.fallbacks,
    )


def _reasons(release: Release, ids: list[int | str], request: CandidateRequest) -> list[str]:
    """Of each candidate, what the person did with it, or which action's Pin is nearest to it.

    Near is the inner product of the two Pins' embeddings.
    """
    done = _history_ids(release, request)
    bundle = release.bundle
    of_done = bundle.lookup.find(pa.array(done, bundle.pin_ids.type), role="history")
    known = of_done >= 0
    of_candidates = bundle.lookup.find(pa.array(ids, bundle.pin_ids.type), role="candidates")
    names = [card.title or f"Pin {card.pin_id}" for card in _cards(release, done)]
    reasons = []
    for pin_id, place in zip(ids, of_candidates.tolist(), strict=True):
        if pin_id in done:
            reasons.append("acted on before" if pin_id != request.subject_pin_id else "looked at")
        elif not known.any() or place < 0:
            reasons.append("")
        else:
            near = bundle.embeddings[of_done[known]] @ bundle.embeddings[place]
            nearest = np.flatnonzero(known)[int(near.argmax())]
            reasons.append(f"near {names[nearest]}")
    return reasons


def _history_ids(release: Release, request: CandidateRequest) -> list[int | str]:
    found: list[int | str] = [] if request.subject_pin_id is None else [request.subject_pin_id]
    if release.features is not None:
        place = int(release.features.rows_of([request.user_id])[0])
        if place >= 0:
            found += release.features.users["recent_pin_ids"][place].as_py() or []
    return found


def _cards(release: Release, ids: list[int | str]) -> list[Card]:
    """What is known of Pins: of those that can be found, else of the day's."""
    tables = [(release.index.pins, release.index.lookup)]
    if release.features is not None:
        tables.append((release.features.pins, release.features.pin_lookup))
    known: dict[int | str, dict[str, object]] = {}
    for table, lookup in reversed(tables):
        places = lookup.find(pa.array(ids, lookup.ids.type), role="pins")
        rows = table.take(pa.array(places[places >= 0])).to_pylist()
        known |= {row["pin_id"]: row for row in rows}
    return [_card(id_, known.get(id_, {})) for id_ in ids]


def _card(pin_id: int | str, row: dict[str, object]) -> Card:
    price, advertiser = row.get("price"), row.get("advertiser_id")
    return Card(
        pin_id=str(pin_id),
        title=_text(row.get("title")),
        category=_text(row.get("category")),
        price=price if isinstance(price, float) else None,
        advertiser=None if advertiser is None else str(advertiser),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _with(card: Card, *, note: str, why: str = "") -> Card:
    return Card(card.pin_id, card.title, card.category, card.price, card.advertiser, note, why)
