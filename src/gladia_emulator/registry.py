"""All sessions of an emulator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gladia_emulator.config import StreamingRequest
from gladia_emulator.faults import FaultBook
from gladia_emulator.recognizer import Recognizer
from gladia_emulator.rules import Rules
from gladia_emulator.session import LiveSession, State


class TooManySessions(Exception):
    """All slots are taken."""


class Sessions(Mapping[str, LiveSession]):
    """Sessions by id, oldest first; ended ones stay until too many of them have gathered."""

    def __init__(
        self, rules: Rules, recognizer: Recognizer, faults: FaultBook, most_live: int
    ) -> None:
        self._rules, self._recognizer, self._faults = rules, recognizer, faults
        self.most_live = most_live
        self._by_id: dict[str, LiveSession] = {}

    def __getitem__(self, session_id: str) -> LiveSession:
        return self._by_id[session_id]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._by_id))

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def live(self) -> list[LiveSession]:
        """Those that hold a slot: all that are not done, connected or not."""
        return [each for each in self._by_id.values() if each.state is not State.DONE]

    def create(self, request: StreamingRequest) -> LiveSession:
        """Open a session that waits for its first connection.

        Raises:
            TooManySessions: All slots are taken.
        """
        if len(self.live) >= self.most_live:
            raise TooManySessions
        self._forget_oldest()
        session = LiveSession(request, self._rules, self._recognizer, self._faults)
        self._by_id[session.id] = session
        session.open()
        return session

    def by_token(self, token: str) -> LiveSession | None:
        """Return the session that this token opens."""
        return next((each for each in self._by_id.values() if each.token == token), None)

    def delete(self, session: LiveSession) -> None:
        """Forget an ended session."""
        del self._by_id[session.id]

    async def close(self) -> None:
        """Give up every session. May be called twice."""
        for session in list(self._by_id.values()):  # clients may still come and go
            await session.close()

    def _forget_oldest(self) -> None:
        ended = [each for each in self._by_id.values() if each.state is State.DONE]
        for session in ended[: max(0, len(ended) - self._rules.kept_sessions)]:
            self.delete(session)
