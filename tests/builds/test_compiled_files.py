"""SQL that another process compiled is read again; whatever is wrong with it, it is compiled."""

from pathlib import Path

import pytest

from convcg_assets.builds import compiled, compiled_files
from convcg_assets.builds.compiled import Compiled, compiled_once

KEY = ("rows", "a table", 3)
SQL = Compiled("SELECT 1", ("users",))


class Compiler:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Compiled:
        self.times += 1
        return SQL


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVCG_CACHE", str(tmp_path))
    monkeypatch.setattr(compiled, "_kept", {})
    return tmp_path


def next_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_kept", {})
    compiled_files._made.cache_clear()


def test_the_next_process_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = Compiler()
    for _ in range(3):
        assert compiled_once(KEY, compiler) == SQL
        next_process(monkeypatch)
    assert compiler.times == 1
    assert compiled_once(("rows", "a table", 4), compiler) == SQL
    assert compiler.times == 2


def test_other_code_compiles_anew(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    compiler = Compiler()
    for number in range(8):
        monkeypatch.setattr(compiled_files, "CODE", f"code {number}")
        next_process(monkeypatch)
        compiled_once(KEY, compiler)
    assert compiler.times == 8
    assert len(list(cache.glob("sql-*"))) == compiled_files.KEPT_CODES + 1


@pytest.mark.parametrize("text", ["", "{", '{"key": "another", "compiled": {}}', '{"key": 1}'])
def test_what_is_not_sound_is_compiled(
    monkeypatch: pytest.MonkeyPatch, cache: Path, text: str
) -> None:
    compiler = Compiler()
    compiled_once(KEY, compiler)
    (kept,) = cache.glob("sql-*/*.json")
    kept.write_text(text)
    next_process(monkeypatch)
    assert compiled_once(KEY, compiler) == SQL
    assert compiler.times == 2
    next_process(monkeypatch)
    assert compiled_once(KEY, compiler) == SQL
    assert compiler.times == 2


def test_without_a_folder_it_works_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONVCG_CACHE", str(tmp_path / "file" / "below"))
    next_process(monkeypatch)
    assert compiled_once(KEY, Compiler()) == SQL
