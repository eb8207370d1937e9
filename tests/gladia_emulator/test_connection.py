"""Connections whose client does not read, in virtual time."""

import asyncio
from typing import Any, cast

import pytest

from gladia_emulator import connection
from gladia_emulator.connection import Connection
from gladia_emulator.session import LiveSession
from tests.gladia_emulator.test_session import now, opened
from tests.virtual_time import in_virtual_time


class StuckClient:
    """A WebSocket and its transport whose peer neither reads nor writes, until it is cut."""

    def __init__(self) -> None:
        self.cut_at: float | None = None
        self._cut = asyncio.Event()

    async def send_str(self, _text: str) -> None:
        await asyncio.Event().wait()

    async def receive(self) -> Any:
        await self._cut.wait()
        return _Message()

    def abort(self) -> None:
        self.cut_at = now()
        self._cut.set()


class _Message:
    type = None


def serve(client: StuckClient, session: LiveSession) -> asyncio.Task[None]:
    """Serve a session to a client that does not read."""
    served = Connection(cast(Any, client), cast(Any, client))
    return asyncio.create_task(served.run(session))


def test_client_that_does_not_read_is_cut_off_after_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        client, session = StuckClient(), opened()
        await serve(client, session)
        assert client.cut_at == connection.WRITE_TIMEOUT_S
        assert not session.connected
        await session.close()

    in_virtual_time(main())
    assert "does not read" in caplog.text


def test_client_that_falls_too_far_behind_is_cut_off_at_once() -> None:
    async def main() -> None:
        client, session = StuckClient(), opened(idle_timeout_s=1_000)
        running = serve(client, session)
        await asyncio.sleep(1)
        for _ in range(connection.OUTBOX_MESSAGES + 1):
            await session.receive_audio(b"")
        await running
        assert client.cut_at == 1
        await session.close()

    in_virtual_time(main())


def test_cancelled_connection_leaves_its_session_and_no_task() -> None:
    async def main() -> None:
        client, session = StuckClient(), opened()
        running = serve(client, session)
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert running.cancelled()
        assert not session.connected
        await session.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    in_virtual_time(main())
