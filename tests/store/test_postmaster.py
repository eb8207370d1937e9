import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from realtime_core.store.postmaster import forget_stranger, is_served


def name_in_pid_file(folder: Path, pid: object) -> Path:
    """Write the file as PostgreSQL does: the pid, the folder, and more."""
    file = folder / "postmaster.pid"
    file.write_text(f"{pid}\n{folder}\n1790000000\n5432\n")
    return file


@pytest.fixture
def postmaster(tmp_path: Path) -> subprocess.Popen[bytes]:
    """What looks like the PostgreSQL of the folder: it waits for its input to end."""
    argv = [sys.executable, "-c", "import sys; sys.stdin.read()", "-D", str(tmp_path)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE)


def test_a_folder_is_served_as_long_as_the_process_in_its_pid_file_lives(
    postmaster: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with postmaster:
        file = name_in_pid_file(tmp_path, postmaster.pid)
        assert is_served(tmp_path)
        forget_stranger(tmp_path)
        assert file.exists(), "it is no stranger"
    assert not is_served(tmp_path)
    forget_stranger(tmp_path)
    assert file.exists(), "whether the dead left something behind is PostgreSQL's to judge"


def test_a_pid_that_is_somebody_elses_by_now_is_forgotten(tmp_path: Path) -> None:
    file = name_in_pid_file(tmp_path, os.getpid())
    assert not is_served(tmp_path)
    forget_stranger(tmp_path)
    assert not file.exists()


@pytest.mark.parametrize("pid", ["", "12x", "-7"])
def test_a_pid_file_that_is_being_written_serves_nobody(tmp_path: Path, pid: str) -> None:
    name_in_pid_file(tmp_path, pid)
    assert not is_served(tmp_path)


def test_without_a_pid_file_nobody_serves(tmp_path: Path) -> None:
    assert not is_served(tmp_path)
    forget_stranger(tmp_path)


def test_a_dead_process_that_is_ours_to_bury_is_buried(
    postmaster: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    name_in_pid_file(tmp_path, postmaster.pid)
    with postmaster:
        postmaster.kill()
        while psutil.Process(postmaster.pid).status() != psutil.STATUS_ZOMBIE:
            pass
        assert not is_served(tmp_path)
        assert not psutil.pid_exists(postmaster.pid), "PostgreSQL would take it for alive"
