from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.gladia_emulator.client import Client, quick


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client of an emulator that does not make it wait."""
    async with quick() as emulator, aiohttp.ClientSession() as http:
        yield Client(emulator, http)
