"""Search among all Pins and among eligible ones, against a sort of all inner products."""

import faiss
import numpy as np
import pyarrow as pa
import pytest

from convcg_model.config import IndexConfig
from convcg_model.eligible import Eligible
from convcg_model.exact_search import search_exactly
from convcg_model.index_search import Breadth, search_index
from convcg_model.index_tuning import make_index
from convcg_model.pin_filter import PinFilter

N, D = 3000, 8


def clustered(num, *, seed):
    """Vectors around centres, of very different length, as Pins with a prior are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(40, D))
    vectors = centres[rng.integers(40, size=num)] + 0.4 * rng.normal(size=(num, D))
    return (vectors * rng.uniform(0.5, 2, size=(num, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def vectors():
    return clustered(N, seed=1)


@pytest.fixture(scope="module")
def queries():
    return clustered(60, seed=2)


@pytest.fixture(scope="module", params=["Flat", "IVF64,SQ8", "HNSW16"])
def index(request, vectors):
    config = IndexConfig(factory=request.param)
    return make_index(vectors, config=config)[0]


def sorted_all(vectors, queries, eligible):
    """Places of all eligible vectors, best first, one query after another."""
    best = []
    for query in queries:
        scored = [(-float(query @ vectors[i]), i) for i in range(len(vectors)) if eligible[i]]
        best.append([i for _, i in sorted(scored)])
    return best


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01, 0.001, 0.0])
def test_filters_hold_within_the_search(index, vectors, queries, share):
    eligible = np.random.default_rng(3).random(N) < share
    breadth = Breadth(num_probes=16, ef_search=64)
    places, scores = search_index(index, vectors, queries, 20, breadth=breadth, eligible=eligible)
    expected = sorted_all(vectors, queries, eligible)
    wanted = min(20, int(eligible.sum()))
    assert places.shape == (len(queries), wanted)
    assert (places >= 0).all(), "k come back where k are eligible"
    assert eligible[places].all()
    hits = [len(set(found) & set(best[:20])) for found, best in zip(places, expected, strict=True)]
    assert np.mean(hits) >= 0.97 * wanted
    own = np.einsum("qd,qkd->qk", queries, vectors[places])
    assert scores == pytest.approx(own, abs=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    if share <= 0.01:
        assert all(
            found.tolist() == best[:20] for found, best in zip(places, expected, strict=True)
        )


def test_more_than_there_are(index, vectors, queries):
    places, _ = search_index(
        index, vectors[:N], queries[:3], N + 5, breadth=Breadth(num_probes=64, ef_search=N)
    )
    assert places.shape == (3, N)


def test_exact_search_in_blocks(vectors, queries, monkeypatch):
    whole = search_exactly(vectors, queries, 7)
    monkeypatch.setattr("convcg_model.exact_search.MAX_CELLS", N * 7)
    blocks = search_exactly(vectors, queries, 7)
    assert np.array_equal(whole[0], blocks[0])
    expected = sorted_all(vectors, queries, np.ones(N, dtype=bool))
    assert whole[0].tolist() == [best[:7] for best in expected]


def test_auto_finds_the_breadth_that_reaches_the_target(vectors):
    many = clustered(20_000, seed=5)
    asked = clustered(200, seed=6)
    config = IndexConfig(exact_below=10_000, target_recall=0.95)
    index, tuning = make_index(many, config=config, queries=asked)
    assert tuning.factory.startswith("IVF")
    assert tuning.recall is not None
    assert tuning.recall >= 0.93
    recalls = [row["recall"] for row in tuning.curve]
    assert recalls[-1] >= 0.95 > max(recalls[:-1], default=0)
    assert tuning.curve[-1]["num_probes"] == tuning.breadth.num_probes
    fresh = clustered(100, seed=7)
    places, _ = search_index(index, many, fresh, 100, breadth=tuning.breadth)
    exact, _ = search_exactly(many, fresh, 100)
    shares = [
        len(set(a) & set(b)) / 100 for a, b in zip(places.tolist(), exact.tolist(), strict=True)
    ]
    assert np.mean(shares) >= 0.93


@pytest.mark.parametrize("share", [0.7, 0.5, 0.3, 0.15, 0.07])
def test_auto_holds_the_target_under_filters(share):
    many = clustered(20_000, seed=5)
    config = IndexConfig(exact_below=10_000, target_recall=0.95)
    index, tuning = make_index(many, config=config, queries=clustered(200, seed=6))
    probes = [number for _, number in tuning.breadth.filtered]
    assert probes == sorted(probes)
    eligible = Eligible(np.random.default_rng(9).random(20_000) < share)
    fresh = clustered(100, seed=7)
    places, _ = search_index(index, many, fresh, 100, breadth=tuning.breadth, eligible=eligible)
    exact, _ = search_exactly(many, fresh, 100, eligible=eligible)
    hits = [len(set(a) & set(b)) for a, b in zip(places.tolist(), exact.tolist(), strict=True)]
    assert np.mean(hits) >= 93


@pytest.mark.parametrize(
    ("share", "probes"), [(1.0, 4), (0.7, 8), (0.5, 8), (0.3, 16), (0.1, 16), (0.09, None)]
)
def test_the_breadth_of_the_next_smaller_share_counts(share, probes):
    breadth = Breadth(num_probes=4, filtered=((0.5, 8), (0.1, 16)))
    found = breadth.for_share(share)
    assert (found and found.num_probes) == probes


def test_auto_is_exact_where_no_breadth_pays(queries):
    noise = np.random.default_rng(0).normal(size=(20_000, D)).astype(np.float32)
    config = IndexConfig(exact_below=10_000, target_recall=1.0, refine=1.0)
    index, tuning = make_index(noise, config=config, queries=queries)
    assert isinstance(index, faiss.IndexFlat)
    assert tuning.factory == "Flat"
    assert "search is exact" in tuning.reason
    assert tuning.curve


@pytest.mark.parametrize(("num", "factory"), [(1, "Flat"), (99, "Flat"), (100, "IVF32,SQ8")])
def test_auto_is_exact_below_a_size(num, factory):
    same = np.ones((num, D), dtype=np.float32)
    index, _ = make_index(same, config=IndexConfig(exact_below=100))
    assert index.ntotal == num
    if factory == "Flat":
        assert isinstance(index, faiss.IndexFlat)


PINS = pa.table(
    {
        "pin_id": [1, 2, 3, 4, 5],
        "advertiser_id": pa.array([10, 10, 20, None, 30]),
        "category": ["a", "b", "a", "b", None],
        "price": [1.0, 2.0, None, 4.0, 5.0],
        "title": ["x"] * 5,
        "countries": [["DE"], [], None, ["DE", "FR"], ["US"]],
    }
)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"allow_advertisers": (10, 30)}, [1, 2, 5]),
        ({"allow_advertisers": ()}, []),
        ({"block_advertisers": (10,)}, [3, 4, 5]),
        ({"categories": ("a",)}, [1, 3]),
        ({"min_price": 2.0}, [2, 4, 5]),
        ({"max_price": 2.0}, [1, 2]),
        ({"min_price": 2.0, "max_price": 4.0}, [2, 4]),
        ({"block_pins": (1, 5, 9)}, [2, 3, 4]),
        ({"country": "DE"}, [1, 2, 3, 4]),
        ({"country": "FR", "categories": ("b",)}, [2, 4]),
    ],
)
def test_conditions(conditions, expected):
    mask = PinFilter(**conditions).mask(PINS)
    assert PINS.filter(pa.array(mask))["pin_id"].to_pylist() == expected


def test_conditions_without_the_column():
    bare = PINS.drop(["countries"]).set_column(1, "advertiser_id", pa.nulls(5))
    assert PinFilter(country="DE").mask(bare).all()
    assert not PinFilter(allow_advertisers=(10,)).mask(bare).any()
    assert PinFilter(block_advertisers=(10,)).mask(bare).all()


def test_ids_of_another_type_are_refused():
    with pytest.raises(ValueError, match="'10' is no id here: they are int64"):
        PinFilter(allow_advertisers=("10",)).mask(PINS)
