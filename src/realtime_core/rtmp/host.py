"""What the listener needs of its host, and what it hands to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from realtime_core.model import AudioTag, PublishEnd
from realtime_core.rtmp.reasons import Refusal

_ids = itertools.count(1)


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """A publisher asks to begin.

    Attributes:
        slug: Has the form of a slug.
        args: The queries of key, app and tcUrl merged. May hold a secret: not for logs.
    """

    slug: str
    app: str
    args: Mapping[str, str]
    peer: str


class Publish:
    """One live publish.

    Attributes:
        id: Unique in this process.
        started_at: When it was accepted, on the event loop's clock.
    """

    def __init__(
        self, request: PublishRequest, started_at: float, close: Callable[[PublishEnd], None]
    ) -> None:
        self.id = next(_ids)
        self.slug, self.args, self.peer = request.slug, request.args, request.peer
        self.started_at = started_at
        self._close = close

    def __repr__(self) -> str:
        return f"<Publish {self.id} of {self.slug} from {self.peer}>"

    def close(self, end: PublishEnd) -> None:
        """End it: tell the publisher, hang up, and call ``done_publish`` before returning.

        Does nothing when the publish has already ended.
        """
        self._close(end)


class PublishHost(Protocol):
    """Takes publishes. Called on the event loop, so it must not wait.

    What a hook raises is logged and ends that one connection.
    """

    def pre_connect(self, peer: str) -> None:
        """A peer sent its connect; nothing has been answered."""

    def post_connect(self, peer: str, app: str) -> None:
        """The connect has been accepted."""

    def pre_publish(self, request: PublishRequest) -> Refusal | None:
        """Say why this publish is refused; None accepts it."""

    def post_publish(self, publish: Publish) -> None:
        """A publish has begun; an older one on its slug has already ended."""

    def audio(self, publish: Publish, tag: AudioTag) -> None:
        """Take audio: a configuration first, legacy AAC only."""

    def done_publish(self, publish: Publish, end: PublishEnd) -> None:
        """A publish has ended. Called exactly once for each ``post_publish``."""
