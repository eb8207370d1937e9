"""Finals that the socket did not bring: the provider keeps what it sent, and gives it by HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from realtime_core.errors import SttUnavailable
from realtime_core.logs import get_logger
from realtime_core.stt import wire
from realtime_core.stt.api import GladiaApi
from realtime_core.stt.config import Waits
from realtime_core.stt.connection import SttSession

log = get_logger("stt")


async def recover_finals(
    api: GladiaApi,
    sessions: Iterable[SttSession],
    hear: Callable[[SttSession, wire.TranscriptMessage], None],
    waits: Waits,
) -> None:
    """Hand every final that has not come yet to ``hear``; gives up after ``recover_s``."""
    try:
        async with asyncio.timeout(waits.recover_s):
            for stt in sessions:
                for final in await _missing_finals(api, stt, waits.poll_s):
                    hear(stt, final)
    except (TimeoutError, SttUnavailable) as exc:
        log.warning("Finals could not be looked up", error=repr(exc))


async def _missing_finals(
    api: GladiaApi, stt: SttSession, poll_s: float
) -> list[wire.TranscriptMessage]:
    while (texts := await api.finished_messages(stt.id)) is None:  # noqa: ASYNC110 - far away
        await asyncio.sleep(poll_s)
    missing = {
        message.utterance_id: message
        for message in map(wire.parse, texts)
        if isinstance(message, wire.TranscriptMessage)
        and message.is_final
        and message.utterance_id not in stt.finals
    }
    log.info("Finals looked up", stt_session=stt.id, recovered=len(missing))
    return list(missing.values())
