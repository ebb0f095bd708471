"""Ids are found where a dictionary finds them."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convcg_model import id_lookup
from convcg_model.id_lookup import IdLookup

TEXTS = st.text(max_size=4)
INTEGERS = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize("few", [0, 2_000])
@given(data=st.data())
def test_as_a_dictionary_does(data, few):
    kind, of = data.draw(
        st.sampled_from([(pa.int64(), INTEGERS), (pa.string(), st.text(max_size=4))])
    )
    ids = data.draw(st.lists(of, unique=True, max_size=20))
    asked = data.draw(st.lists(st.one_of(st.none(), of, st.sampled_from(ids) if ids else of)))
    before, id_lookup.FEW = id_lookup.FEW, few
    try:
        found = IdLookup(pa.array(ids, kind)).find(pa.array(asked, kind), role="ids")
    finally:
        id_lookup.FEW = before
    places = {id_: place for place, id_ in enumerate(ids)}
    assert found.tolist() == [places.get(id_, -1) for id_ in asked]


def test_ids_of_another_type():
    with pytest.raises(ValueError, match="role: ids are string, but int64"):
        IdLookup(pa.array([1, 2])).find(pa.array(["1"]), role="role")
