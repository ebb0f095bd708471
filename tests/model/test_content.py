"""Content vectors of several encoders: a model reads those of one."""

import numpy as np
import pyarrow as pa
import pytest

from convcg_model.content import num_of_other_versions, prevailing_version, read_content


def pins(*rows: tuple[str | None, list[float] | None]) -> pa.Table:
    versions, content = zip(*rows, strict=True) if rows else ((), ())
    return pa.table(
        {
            "pin_id": pa.array(range(len(rows)), pa.int64()),
            "content": pa.array(content, pa.list_(pa.float64())),
            "content_version": pa.array(versions, pa.string()),
        }
    )


@pytest.mark.parametrize(
    ("rows", "version"),
    [
        ([], None),
        ([(None, [1.0])], None),
        ([("a", [1.0]), ("a", [2.0]), ("b", [3.0])], "a"),
        ([("a", [1.0]), ("b", [3.0])], "b"),
        ([("a", [1.0]), ("b", None), ("b", None)], "a"),
        ([(None, [1.0]), ("a", [3.0])], "a"),
        ([("a", None)], None),
    ],
)
def test_the_encoder_of_most_pins_is_read(rows, version):
    assert prevailing_version(pins(*rows)) == version
    assert prevailing_version(pins(*rows[::-1])) == version


def test_content_of_another_encoder_is_none():
    table = pins(("a", [1.0, 2.0]), ("b", [9.0]), ("a", None), (None, [7.0, 7.0, 7.0]))
    vectors, present = read_content(table, "a", role="pins")
    assert vectors.tolist() == [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert present.tolist() == [True, False, False, False]
    assert num_of_other_versions(table, "a") == 2
    assert num_of_other_versions(table, None) == 2


def test_a_table_that_does_not_name_encoders_has_one():
    table = pins((None, [1.0, 2.0]), (None, [3.0, 4.0])).drop_columns(["content_version"])
    assert prevailing_version(table) is None
    vectors, present = read_content(table, None, role="pins")
    assert np.array_equal(vectors, [[1, 2], [3, 4]])
    assert present.all()
    _, present = read_content(table, "a", role="pins")
    assert not present.any()


def test_lengths_that_differ_within_an_encoder_are_refused():
    with pytest.raises(ValueError, match=r"vectors of lengths \[1, 2\]"):
        read_content(pins(("a", [1.0]), ("a", [1.0, 2.0])), "a", role="pins")
