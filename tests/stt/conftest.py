"""A fake provider for each test that asks for one."""

from collections.abc import AsyncIterator

import pytest

from tests.stt.fake_gladia import FakeGladia


@pytest.fixture
async def gladia() -> AsyncIterator[FakeGladia]:
    async with FakeGladia() as gladia:
        yield gladia
