import subprocess
import sys
from pathlib import Path

import pytest

from realtime_core.metrics import Metrics
from realtime_core.store.journal import Journal
from realtime_core.store.postgres import PostgresStore
from realtime_core.store.writer import Writer
from tests.postgres import run_apart, run_sql

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def accepted_before_sigkill(journal: Path, dsn: str, *, at_least: int) -> list[str]:
    """Return what a process said it accepted before it was killed."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.store.accepting", str(journal), dsn],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        text=True,
    )
    assert child.stdout is not None
    with child, child.stdout:
        lines: list[str] = []
        while len(lines) < at_least and (line := child.stdout.readline()):
            lines += [line] if line.startswith("accepted") else []
        child.kill()
        lines += [line for line in child.stdout if line.startswith("accepted")]
    # The last line may be cut short by the kill.
    return [line.split()[1] for line in lines if line.endswith("\n")]


async def replay(journal: Path, dsn: str) -> int:
    async with PostgresStore(dsn) as store:
        writer = Writer(store, Journal(journal, max_bytes=10_000_000), Metrics())
        async with writer:
            return await writer.flush(10)


@pytest.mark.parametrize("database", ["away", "there"])
def test_what_was_accepted_before_sigkill_is_stored_once_after_the_next_start(
    tmp_path: Path, postgres_dsn: str, database: str
) -> None:
    journal = tmp_path / "journal.db"
    dsn = NOWHERE if database == "away" else postgres_dsn
    accepted = accepted_before_sigkill(journal, dsn, at_least=150)
    assert run_apart(lambda: replay(journal, postgres_dsn)) == 0
    stored = run_sql(postgres_dsn, "SELECT utterance_id FROM transcripts ORDER BY seq")
    assert [utterance for (utterance,) in stored][: len(accepted)] == accepted
    assert len(stored) - len(accepted) in (0, 1), "one may have been accepted and not said so"
