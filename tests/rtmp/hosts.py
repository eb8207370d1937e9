"""A host that writes down what it is told, and fails on demand."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from realtime_core.model import AudioTag, PublishEnd
from realtime_core.rtmp.server import Publish, PublishHost, PublishRequest, Refusal


class RecordingHost:
    """Accepts every publish unless told otherwise.

    Attributes:
        calls: The hooks in order, with what identifies each call.
        tags: The audio of each publish, by its id.
        ends: How publishes ended, in order.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.requests: list[PublishRequest] = []
        self.publishes: list[Publish] = []
        self.tags: dict[int, list[AudioTag]] = {}
        self.ends: list[PublishEnd] = []
        self.refusal: Refusal | None = None
        self._failing = ""
        self._changed = asyncio.Event()

    def pre_connect(self, peer: str) -> None:
        self._note("pre_connect")

    def post_connect(self, peer: str, app: str) -> None:
        self._note("post_connect", app)

    def pre_publish(self, request: PublishRequest) -> Refusal | None:
        self.requests.append(request)
        self._note("pre_publish", request.slug)
        return self.refusal

    def post_publish(self, publish: Publish) -> None:
        self.publishes.append(publish)
        self.tags[publish.id] = []
        self._note("post_publish", publish.id)

    def audio(self, publish: Publish, tag: AudioTag) -> None:
        self.tags[publish.id].append(tag)
        if self._failing == "audio":
            raise RuntimeError("audio is broken")
        self._changed.set()

    def done_publish(self, publish: Publish, end: PublishEnd) -> None:
        self.ends.append(end)
        self._note("done_publish", publish.id, end)

    async def until(self, hook: str, times: int = 1) -> None:
        """Return when ``hook`` has been called so often."""
        await self._until(lambda: [call[0] for call in self.calls].count(hook) >= times)

    async def until_tags(self, count: int) -> list[AudioTag]:
        """Return the audio of the newest publish when there is so much of it."""
        await self._until(lambda: bool(self.publishes) and len(self._newest()) >= count)
        return self._newest()

    @contextmanager
    def failing(self, hook: str) -> Iterator[None]:
        """Let one hook raise after it has been written down."""
        self._failing = hook
        try:
            yield
        finally:
            self._failing = ""

    def _newest(self) -> list[AudioTag]:
        return self.tags[self.publishes[-1].id]

    def _note(self, hook: str, *details: object) -> None:
        self.calls.append((hook, *details))
        self._changed.set()
        if self._failing == hook:
            raise RuntimeError(f"{hook} is broken")

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()


_is_a_host: type[PublishHost] = RecordingHost  # mypy checks the fake
