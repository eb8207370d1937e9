import os
from pathlib import Path

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.store.folder import claimed_folder


async def test_a_folder_is_made_and_claimed_for_one(tmp_path: Path) -> None:
    async with claimed_folder(tmp_path / "a" / "b") as folder:
        assert folder.is_dir()
        with pytest.raises(ConfigurationError, match="another process uses"):
            async with claimed_folder(tmp_path / "a" / "b"):
                pass
    async with claimed_folder(tmp_path / "a" / "b"):
        pass


async def test_what_cannot_be_a_folder_is_told_by_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="DATA_DIR"):
        async with claimed_folder(tmp_path / "file"):
            pass


async def test_the_claim_ends_with_the_block_and_leaves_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    async with claimed_folder(tmp_path):
        pass
    assert len(os.listdir("/proc/self/fd")) == before
