"""Nets under every test: blocking calls on the loop fail, hypothesis is deterministic."""

from collections.abc import Iterator

import pytest
import structlog
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import settings

pytest_plugins = ["tests.browser", "tests.postgres"]

settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


@pytest.fixture(autouse=True)
def no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[BlockBuster | None]:
    """Fail a test in which our own code blocks the event loop."""
    with blockbuster_ctx(["realtime_core", "gladia_emulator"]) as guard:
        # A traceback in a log shows source lines, which Python reads when it prints them.
        guard.functions["os.stat"].can_block_in("linecache.py", {"checkcache", "updatecache"})
        yield guard
