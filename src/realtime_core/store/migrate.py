"""Brings the database to the table that this version writes: numbered SQL files, each once."""

from __future__ import annotations

import asyncio
from importlib import resources
from typing import Any, NamedTuple

from realtime_core.logs import get_logger

log = get_logger("store")

LOCK = 0x7274_636F_7265
"""Names our advisory lock in the database, so that two services do not migrate at once."""
DONE = "realtime_core_migrations"


class Migration(NamedTuple):
    """One file of ``migrations/``; its number leads its name."""

    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """Read all migrations, in order. Blocks on files."""
    folder = resources.files("realtime_core.store") / "migrations"
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return sorted(
        Migration(int(file.name.partition("_")[0]), file.name, file.read_text("utf-8"))
        for file in files
    )


async def migrate(connection: Any) -> None:
    """Apply what is missing. Call it within one transaction: that is what it is atomic by.

    The lock ends with the transaction: one that belongs to the session would stay behind
    on whatever connection a transaction-mode pooler had lent us.
    """
    await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
    await connection.execute("SET LOCAL client_min_messages = warning")
    if await connection.fetchval("SELECT to_regclass($1)::text", DONE) is None:
        await connection.execute(
            f"CREATE TABLE {DONE} (number int PRIMARY KEY, name text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
    done = {record["number"] for record in await connection.fetch(f"SELECT number FROM {DONE}")}
    for migration in await asyncio.to_thread(migrations):
        if migration.number not in done:
            await connection.execute(migration.sql)
            record = f"INSERT INTO {DONE} (number, name) VALUES ($1, $2)"
            await connection.execute(record, migration.number, migration.name)
            log.info("Database migrated", migration=migration.name)
