"""A working folder goes with its process, however that ends; one that is worked in stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convcg_assets.builds.working import LOCK, remove_left_behind, working_folder

WORK = """
import sys, time
from pathlib import Path
from convcg_assets.builds.working import working_folder
with working_folder(Path(sys.argv[1])) as folder:
    (folder / "rows").write_text("rows")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_it_is_gone_whatever_happens(tmp_path: Path) -> None:
    def work() -> None:
        with working_folder(tmp_path) as folder:
            (folder / "arrays").mkdir()
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORK, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    folder = Path(worker.stdout.readline().strip())
    remove_left_behind(tmp_path, older_than_s=0)
    assert (folder / "rows").exists()
    worker.kill()
    worker.wait()
    worker.stdout.close()
    remove_left_behind(tmp_path)
    assert (folder / "rows").exists()
    os.utime(folder, (1, 1))
    with working_folder(tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]


def test_a_folder_without_a_lock_goes_once_it_is_old(tmp_path: Path) -> None:
    folder = tmp_path / "young"
    folder.mkdir()
    remove_left_behind(tmp_path)
    assert folder.exists()
    os.utime(folder, (1, 1))
    remove_left_behind(tmp_path)
    assert not folder.exists()
    assert LOCK not in {path.name for path in tmp_path.iterdir()}
