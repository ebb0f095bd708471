"""docs/sources.md names every key, canonical column and reason, and its examples are right."""

import re
from pathlib import Path

import pytest
import yaml

from convcg_assets.sources.columns import (
    ADJUSTMENT_TYPES,
    CONVERSION_EVENTS,
    ENGAGEMENT_TYPES,
    STREAMS,
    SURFACES,
)
from convcg_assets.sources.source import Source
from convcg_assets.sources.stream import ColumnMapping, Stream

PAGE = (Path(__file__).parents[2] / "docs" / "sources.md").read_text()
KEYS = PAGE.split("## 3. ")[1].split("## 4. ")[0]
COLUMNS = PAGE.split("## 4. ")[1].split("## 5. ")[0]


@pytest.mark.parametrize("model", [Source, Stream])
def test_every_key_has_its_row(model):
    for name in model.model_fields:
        assert f"| `{name}` |" in KEYS


def test_every_form_of_mapping_is_shown():
    for name in ColumnMapping.model_fields:
        assert re.search(rf"\b{name}: ", KEYS), name


@pytest.mark.parametrize("stream", list(STREAMS))
def test_every_canonical_column_has_its_row(stream):
    rows = re.split(rf"^\| {stream} \|", COLUMNS, flags=re.M)[1]
    rows = re.split(r"^\| \w", rows, flags=re.M)[0]
    for name in STREAMS[stream].mappable:
        needed = name in STREAMS[stream].logged
        assert (f" **`{name}`** |" if needed else f" `{name}` |") in rows


def test_the_canonical_values_are_named_and_no_others():
    named = set(re.findall(r"`(\w+)`", COLUMNS.split("| stream |")[0]))
    known = {*SURFACES, *ENGAGEMENT_TYPES, *CONVERSION_EVENTS, *ADJUSTMENT_TYPES}
    assert named >= known, f"name {known - named} in docs/sources.md, 4."
    assert known >= named, f"add {named - known} to sources/columns.py"


def test_the_examples_are_valid():
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)
    assert len(examples) == 3
    for text in examples:
        Source.model_validate(yaml.safe_load(text))


def test_every_reason_is_explained():
    sources = Path(__file__).parents[2] / "convcg_assets" / "sources"
    code = (sources / "contract.py").read_text() + (sources / "casting.py").read_text()
    reasons = re.findall(
        r'"((?:malformed|wrong|unknown|negative|non-finite|duplicate|null) [^"]+)"', code
    )
    reasons += re.findall(r'"([^"]*(?:log\'s day|after received_ts))"', code)
    assert len(reasons) > 12
    explained = re.sub(r"<\w+>", "", PAGE.split("## 6. ")[1])
    for reason in reasons:
        for part in re.sub(r"\{[^}]+\}", "\0", reason).split("\0"):
            assert part.strip(" :") in explained, reason
