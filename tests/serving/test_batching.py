"""Requests that are answered together, and what one of them does to the others."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convcg_model.pin_filter import PinFilter
from convcg_serving.batching import MAX_BATCH, MAX_WAITING, Batcher, Overloaded
from convcg_serving.release import load_release
from convcg_serving.requests import Action, CandidateAnswer, CandidateRequest, Profile

from .conftest import NOW


class Answering:
    """Answers with the number of Pins that was asked for; 13 is more than it can bear."""

    def __init__(self):
        self.batches = []

    def answer(self, requests, *, now):
        self.batches.append(len(requests))
        if any(request.k == 13 for request in requests):
            raise RuntimeError("13")
        return [answer_of(request) for request in requests]


def answer_of(request):
    return CandidateAnswer(
        pins=(), model_version=str(request.k), version="", features_day=None, fallbacks=()
    )


def ask(release, sizes):
    """What comes of requests that are made at once."""

    async def run():
        batcher = Batcher(lambda: release)
        asked = [batcher.answer(CandidateRequest(k=k)) for k in sizes]
        found = await asyncio.gather(*asked, return_exceptions=True)
        await batcher.close()
        return found

    return asyncio.run(run())


def test_a_request_that_cannot_be_answered_spoils_no_other():
    found = ask(Answering(), range(1, 31))
    failed = [k for k, answer in enumerate(found, 1) if isinstance(answer, RuntimeError)]
    assert failed == [13]
    versions = [answer.model_version for answer in found if not isinstance(answer, Exception)]
    assert versions == [str(k) for k in range(1, 31) if k != 13]


def test_what_comes_together_is_answered_together():
    release = Answering()
    found = ask(release, [1] * 100)
    assert len(found) == 100
    assert release.batches == [MAX_BATCH, MAX_BATCH, MAX_BATCH, 100 - 3 * MAX_BATCH]


def test_more_than_can_wait_are_turned_away():
    found = ask(Answering(), [1] * (MAX_WAITING + 5))
    assert sum(isinstance(answer, Overloaded) for answer in found) == 5


def test_nothing_is_in_service():
    assert [type(answer) for answer in ask(None, [1, 2])] == [LookupError, LookupError]


IDS = st.integers() | st.integers(0, 45) | st.text(max_size=3)
SOME_IDS = st.lists(IDS, max_size=4).map(tuple)
FILTERS = st.builds(
    PinFilter,
    allow_advertisers=st.none() | SOME_IDS,
    block_advertisers=st.none() | SOME_IDS,
    categories=st.none() | st.lists(st.sampled_from(["c1", "c2", "zz"])).map(tuple),
    min_price=st.none() | st.floats(),
    max_price=st.none() | st.floats(),
    block_pins=st.none() | SOME_IDS,
    country=st.none() | st.text(max_size=3),
)
REQUESTS = st.builds(
    CandidateRequest,
    user_id=st.none() | IDS,
    profile=st.none() | st.builds(Profile, country=st.none() | st.text(max_size=3)),
    recent_actions=st.lists(
        st.builds(Action, pin_id=IDS, action=st.text(max_size=5), at=st.none() | st.datetimes()),
        max_size=4,
    ).map(tuple),
    replace_history=st.booleans(),
    surface=st.sampled_from(["homefeed", "related_pins", "search"]),
    subject_pin_id=st.none() | IDS,
    query=st.none() | st.text(max_size=20),
    k=st.integers(1, 60),
    filters=FILTERS,
    exclude_pin_ids=SOME_IDS,
)


@pytest.fixture(scope="module")
def release(champion, features):
    return load_release(champion, features)


@settings(max_examples=30, deadline=None)
@given(requests=st.lists(REQUESTS, min_size=1, max_size=4))
def test_whatever_is_asked_is_answered_or_told_what_is_wrong(release, requests):
    answers = release.answer(requests, now=NOW)
    pins = {row["pin_id"]: row for row in release.index.pins.to_pylist()}
    for request, answer in zip(requests, answers, strict=True):
        if isinstance(answer, ValueError):
            assert str(answer)
            continue
        eligible = request.filters.mask(release.index.pins)
        ids = release.index.pins["pin_id"].to_pylist()
        may = {i for i, is_eligible in zip(ids, eligible, strict=True) if is_eligible}
        may -= set(request.exclude_pin_ids)
        found = [pin.pin_id for pin in answer.pins]
        assert len(found) == len(set(found)) == min(request.k, len(may))
        assert set(found) <= may <= set(pins)
        scores = [pin.score for pin in answer.pins]
        assert scores == sorted(scores, reverse=True)
        assert ("no eligible Pins" in answer.fallbacks) == (not may)
