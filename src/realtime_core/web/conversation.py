"""One client's WebSocket from its first message to its last."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from typing import assert_never

from aiohttp import WSMessage, WSMsgType

from realtime_core.access import Identity, Role, name_to_show
from realtime_core.errors import RequestError
from realtime_core.hub import commands, wire
from realtime_core.hub.replay import Lack, Older
from realtime_core.hub.wire import CloseCode
from realtime_core.web.house import House, ReadMissed
from realtime_core.web.viewer import Pace, Viewer

MOST_MALFORMED = 3
MOST_UNDERTAKINGS = 64
"""Starts and stops under way at a time, over all clients."""
HEARTBEATS_TO_LIVE = 1.5
"""How long a client may say nothing; after one heartbeat it is asked whether it is there."""

CODE_BY_STATUS = {
    401: CloseCode.UNAUTHORISED,
    403: CloseCode.FORBIDDEN,
    404: CloseCode.UNKNOWN_SESSION,
    503: CloseCode.SHUTTING_DOWN,
}


_numbers = count(1)


class Conversation:
    """Reads what one client sends, and obeys.

    Attributes:
        viewer: The client's socket.
        slug: The session that the client reads; None until it has named one.
    """

    def __init__(self, house: House, viewer: Viewer) -> None:
        self.viewer = viewer
        self.slug: str | None = None
        self._house, self._limits = house, house.limits
        self._clock = asyncio.get_running_loop().time
        now = self._heard_at = self._clock()
        self._pace = Pace(self._limits.messages_per_s, self._limits.burst, now)
        self._subscribe_by = now + self._limits.subscribe_timeout_s
        self._token: str | None = None
        self._who: Identity | None = None
        self._malformed = 0
        self._busy = self._over = self._was_asked = False
        self._name = f"viewer {next(_numbers)}"
        self._catching_up: asyncio.Task[None] | None = None

    def begin(self, query: Mapping[str, str]) -> None:
        """Subscribe, if the query string names a session."""
        if self.viewer.closed_with is not None:
            return
        try:
            subscription = commands.parse_query(query)
        except RequestError as error:
            self._refuse(error, CloseCode.BAD_REQUEST)
        else:
            if subscription is not None:
                self._subscribe(subscription)

    async def go_on(self) -> None:
        """Obey until the client leaves, is gone, or was hung up on."""
        while self.viewer.closed_with is None:
            message = await self.viewer.receive(self._patience_s())
            if message is None:
                if self._is_hopeless():
                    break
            elif not self._take(message):
                break

    def end(self) -> None:
        """Count the client out. An undertaking that ends later finds nobody."""
        self._over = True
        if self._catching_up is not None:
            self._catching_up.cancel()
        if self.slug is not None:
            self._house.hub.leave(self.slug, self.viewer)

    # How long to wait.

    def _patience_s(self) -> float:
        heartbeats = HEARTBEATS_TO_LIVE if self._was_asked else 1
        until = self._heard_at + heartbeats * self._limits.heartbeat_s
        if self.slug is None and not self._busy:
            until = min(until, self._subscribe_by)
        return until - self._clock()

    def _is_hopeless(self) -> bool:
        """Whether there is nothing more to wait for. Asks a silent client if it is there."""
        now = self._clock()
        if self.slug is None and not self._busy and now >= self._subscribe_by:
            error = RequestError(408, "no_subscribe", "no session was named in time")
            self._refuse(error, CloseCode.NO_SUBSCRIBE)
        silent_s, heartbeat_s = now - self._heard_at, self._limits.heartbeat_s
        if silent_s >= HEARTBEATS_TO_LIVE * heartbeat_s:
            self.viewer.cut_off()
            return True
        if silent_s >= heartbeat_s and not self._was_asked:
            self._was_asked = True
            self.viewer.ping()
        return False

    # What comes in.

    def _take(self, message: WSMessage) -> bool:
        self._heard_at, self._was_asked = self._clock(), False
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return False
        if not self._pace.allows(self._heard_at):
            error = RequestError(429, "too_many_messages", "you send too fast")
            self._refuse(error, CloseCode.TOO_MANY)
        elif message.type is WSMsgType.TEXT:
            self._read(message.data)
        elif message.type is WSMsgType.PING:
            self.viewer.answer(wire.pong_frame(message.data))
        elif message.type is WSMsgType.BINARY:
            error = RequestError(400, "binary", "messages are text")
            self._refuse(error, CloseCode.BAD_REQUEST)
        return True

    def _read(self, text: str) -> None:
        try:
            self._obey(commands.parse(text))
        except RequestError as error:
            self._malformed += error.code == wire.MALFORMED
            too_often = self._malformed >= MOST_MALFORMED
            self._refuse(error, CloseCode.BAD_REQUEST if too_often else None)

    def _refuse(self, error: RequestError, then: CloseCode | None) -> None:
        self.viewer.tell(wire.ErrorMessage.of(error))
        if then is not None:
            self.viewer.hang_up(then)

    def _obey(self, command: commands.AnyCommand) -> None:
        match command:
            case commands.Ping():
                self.viewer.tell(wire.PongMessage())
            case commands.Subscribe():
                self._subscribe(command)
            case commands.ActiveSpeaker():
                self._report(command)
            case commands.Start() | commands.Stop():
                self._undertake(command)
            case _:
                assert_never(command)

    def _subscribe(self, wanted: commands.Subscribe) -> None:
        if self.slug is not None:
            raise RequestError(409, "already_subscribed", "one session per connection")
        self._token = wanted.token or self._token
        slug = wanted.session_slug
        try:
            # First this: without a token nobody learns which sessions exist.
            self._who = self._house.gate.admit(self._token, slug, Role.VIEWER)
            self._join_or_catch_up(wanted)
            self.slug = slug
        except RequestError as error:
            self._turn_away(error)

    def _turn_away(self, error: RequestError) -> None:
        self._refuse(error, CODE_BY_STATUS.get(error.status, CloseCode.BAD_REQUEST))

    def _join_or_catch_up(self, wanted: commands.Subscribe) -> None:
        slug, house = wanted.session_slug, self._house
        lack = house.hub.lack(slug, since=wanted.since, epoch=wanted.epoch)
        if lack is None or house.missed is None:
            self._join(wanted)
        else:
            work = self._catch_up(wanted, lack, house.missed)
            self._catching_up = house.catching_up.start(work, slug)

    async def _catch_up(self, wanted: commands.Subscribe, lack: Lack, missed: ReadMissed) -> None:
        """Join with what was missed, or else without. The client is heard meanwhile."""
        older = None
        try:
            older = await missed(wanted.session_slug, lack)
        finally:
            if not self._over and self.viewer.closed_with is None:
                self._join_late(wanted, older)

    def _join_late(self, wanted: commands.Subscribe, older: Older | None) -> None:
        try:
            self._join(wanted, older)
        except RequestError as error:  # it ended meanwhile
            self._turn_away(error)

    def _join(self, wanted: commands.Subscribe, older: Older | None = None) -> None:
        self._house.hub.join(
            wanted.session_slug,
            self.viewer,
            since=wanted.since,
            epoch=wanted.epoch,
            older=older,
        )

    def _report(self, report: commands.ActiveSpeaker) -> None:
        who = self._who
        if self.slug is None or who is None:
            raise RequestError(409, "not_subscribed", "subscribe to a session first")
        # The token was checked when it opened the session; one that expires since still holds.
        if who.role < Role.SPEAKER:
            raise RequestError(403, "forbidden", "the role speaker is needed", "token")
        told = {
            "identity": report.identity,
            "name": name_to_show(who, report.identity, report.name),
            "timestamp": report.timestamp,
        }
        self._house.control.report_speaker(
            self.slug, told, who.sub or self._name, is_own=who.role < Role.HOST
        )

    # Starts and stops: they may take seconds, and the client is heard meanwhile.

    def _undertake(self, command: commands.Start | commands.Stop) -> None:
        if self._busy or len(self._house.undertakings) >= MOST_UNDERTAKINGS:
            raise RequestError(503, "busy", "a start or stop is still under way, try again")
        token = command.token or self._token
        self._house.gate.admit(token, command.session_slug, Role.HOST)
        if self.slug is None:
            self._token = token  # a start may subscribe with it
        self._busy = True
        _ = self._house.undertakings.start(self._carry_out(command), command.session_slug)

    async def _carry_out(self, command: commands.Start | commands.Stop) -> None:
        answer: wire.ServerMessage = wire.ErrorMessage(code="internal", message="that failed")
        try:
            answer = await self._done(command)
        except RequestError as error:
            answer = wire.ErrorMessage.of(error)
        finally:
            self._busy = False
            self._subscribe_by = self._clock() + self._limits.subscribe_timeout_s
            self.viewer.tell(answer)
        if isinstance(answer, wire.StartedMessage) and self.slug is None and not self._over:
            self._subscribe(commands.Subscribe(session_slug=command.session_slug))

    async def _done(self, command: commands.Start | commands.Stop) -> wire.ServerMessage:
        slug = command.session_slug
        if isinstance(command, commands.Start):
            result, is_new = await self._house.control.start(slug, command.options)
            return wire.StartedMessage(session_slug=slug, is_new=is_new, result=result)
        return wire.StoppedMessage(session_slug=slug, result=await self._house.control.stop(slug))
