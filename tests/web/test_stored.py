"""Stored finals over HTTP: which run, from which moment, and how much at once."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from realtime_core.access import Gate, TokenKeys
from realtime_core.errors import StoreUnavailable
from realtime_core.model import FinalRow
from realtime_core.store.memory import MemoryStore
from realtime_core.store.rows import StoredRun
from realtime_core.web.routes import application
from realtime_core.web.stored import Finals, StoredRoutes
from tests.store.finals import STARTED_AT, final

WEEK_S = 7 * 86_400


class CountedStore(MemoryStore):
    """A store that counts how often it is read; :attr:`away`, and it does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.reads, self.away = 0, False

    async def run(self, slug: str, *, epoch: str | None = None) -> StoredRun | None:
        self._read()
        return await super().run(slug, epoch=epoch)

    async def finals(
        self, slug: str, *, epoch: str | None = None, after: int | None = None, limit: int
    ) -> Sequence[FinalRow]:
        self._read()
        return await super().finals(slug, epoch=epoch, after=after, limit=limit)

    def _read(self) -> None:
        self.reads += 1
        if self.away:
            raise StoreUnavailable("connection refused")


class Site:
    """The endpoint over two runs of one slug, a week apart; what is unflushed comes by a flush."""

    def __init__(self) -> None:
        self.store, self.unflushed = CountedStore(), [*run_of("e1", 0), *run_of("e2", WEEK_S)]

    async def flush(self) -> None:
        await self.store.insert(self.unflushed)
        self.unflushed = []

    @asynccontextmanager
    async def serving(
        self, finals: Finals | None = None, gate: Gate | None = None, **options: int
    ) -> AsyncIterator[Client]:
        routes = StoredRoutes(gate or Gate(None), finals or self.store, self.flush, **options)
        async with TestClient(TestServer(application([routes]))) as client:
            yield Client(client)


class Client:
    """Reads the endpoint."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self._client = client

    async def get(self, query: str = "", slug: str = "weekly") -> ClientResponse:
        path = f"/api/realtime/sessions/{slug}/transcript{query}"
        async with self._client.get(path) as response:
            await response.read()
            return response

    async def lines(self, query: str = "") -> list[str]:
        response = await self.get(f"?format=txt{query}")
        assert response.status == 200
        return (await response.text()).splitlines()

    async def refusal(self, query: str = "", slug: str = "weekly") -> tuple[int, str, str | None]:
        response = await self.get(query, slug)
        error = (await response.json())["error"]
        return response.status, error["code"], error["field"]


def run_of(epoch: str, later_s: float) -> list[FinalRow]:
    """Return three finals a second apart, and before them one that was retracted."""
    return [
        final(
            seq,
            epoch=epoch,
            utterance_id=f"{epoch}-{seq}",
            text=f"{epoch} says {seq}" if seq > 1 else "",
            started_at=STARTED_AT + later_s + 10 * seq,
            ended_at=STARTED_AT + later_s + 10 * seq + 1,
        )
        for seq in (1, 2, 3, 4)
    ]


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    async with site.serving() as client:
        yield client


async def test_by_default_the_last_run_is_shown_alone_and_from_its_own_beginning(
    client: Client,
) -> None:
    assert await client.lines() == [
        "[00:00:00] Alice: e2 says 2",
        "[00:00:10] Alice: e2 says 3",
        "[00:00:20] Alice: e2 says 4",
    ]


async def test_an_earlier_run_is_shown_by_its_epoch(client: Client) -> None:
    assert await client.lines("&epoch=e1") == [
        "[00:00:00] Alice: e1 says 2",
        "[00:00:10] Alice: e1 says 3",
        "[00:00:20] Alice: e1 says 4",
    ]
    assert await client.refusal("?epoch=e3") == (404, "unknown_session", None)


async def test_a_part_counts_from_the_same_moment_as_the_whole(client: Client) -> None:
    assert await client.lines("&after=3") == ["[00:00:20] Alice: e2 says 4"]
    assert await client.lines("&epoch=e1&after=3") == ["[00:00:20] Alice: e1 says 4"]
    assert await client.lines("&after=4") == []


async def test_json_names_the_run(client: Client) -> None:
    transcripts = (await (await client.get()).json())["transcripts"]
    assert [(each["epoch"], each["seq"]) for each in transcripts] == [
        ("e2", 2),
        ("e2", 3),
        ("e2", 4),
    ]


async def test_what_waits_is_flushed_and_the_database_is_read_twice(
    site: Site, client: Client
) -> None:
    await client.lines("&after=2")
    assert not site.unflushed
    assert site.store.reads == 2


async def test_a_run_of_nothing_but_retracted_finals_is_empty(site: Site) -> None:
    site.unflushed = [final(1, text="")]
    async with site.serving() as client:
        assert await client.lines() == []


async def test_a_long_run_is_linked_page_by_page_and_no_final_is_missed(site: Site) -> None:
    early = final(9, epoch="e2", text="late word on the start", started_at=STARTED_AT + WEEK_S)
    site.unflushed.append(early)  # the first by time and the last by number
    async with site.serving(most_rows=2) as client:
        first = await client.get("?format=txt")
        assert first.headers["Link"] == '<?format=txt&epoch=e2&after=2>; rel="next"'
        assert await first.text() == "[00:00:20] Alice: e2 says 2\n"
        # A run that begins meanwhile does not get between the pages.
        await site.store.insert(run_of("e3", 2 * WEEK_S))
        second = await client.get("?format=txt&epoch=e2&after=2")
        assert second.headers["Link"] == '<?format=txt&epoch=e2&after=4>; rel="next"'
        assert (await second.text()).splitlines() == [
            "[00:00:30] Alice: e2 says 3",
            "[00:00:40] Alice: e2 says 4",
        ]
        third = await client.get("?format=txt&epoch=e2&after=4")
        assert "Link" not in third.headers
        assert await third.text() == "[00:00:00] Alice: late word on the start\n"


async def test_a_run_that_just_fits_has_no_next_page(site: Site) -> None:
    async with site.serving(most_rows=4) as client:
        assert "Link" not in (await client.get()).headers


@pytest.mark.parametrize("epoch", ["", "a b", "a" * 65, "é", "a%0A", "%22", "a%26b", "../e1"])
async def test_an_epoch_that_can_be_none_is_refused(site: Site, client: Client, epoch: str) -> None:
    assert await client.refusal(f"?epoch={epoch}") == (400, "invalid_request", "epoch")
    assert site.store.reads == 0


@pytest.mark.parametrize("epoch", ["a" * 64, "A-z_9"])
async def test_an_epoch_of_any_such_form_is_looked_for(client: Client, epoch: str) -> None:
    assert (await client.refusal(f"?epoch={epoch}"))[0] == 404


@pytest.mark.parametrize(
    ("query", "slug", "refusal"),
    [
        ("?format=pdf", "weekly", (400, "invalid_request", "format")),
        ("?after=-1", "weekly", (400, "invalid_request", "after")),
        ("?after=x", "weekly", (400, "invalid_request", "after")),
        (f"?after={10**18}", "weekly", (400, "invalid_request", "after")),
        ("", "daily", (404, "unknown_session", None)),
        ("", "-bad-", (400, "invalid_slug", "sessionSlug")),
    ],
)
async def test_what_means_nothing_is_refused(
    client: Client, query: str, slug: str, refusal: tuple[int, str, str | None]
) -> None:
    assert await client.refusal(query, slug) == refusal


async def test_a_database_that_is_away_is_said_not_guessed(site: Site, client: Client) -> None:
    site.store.away = True
    assert await client.refusal() == (503, "storage_unavailable", None)


async def test_without_storage_there_is_nothing_to_read(site: Site) -> None:
    routes = StoredRoutes(Gate(None), None, site.flush)
    async with TestClient(TestServer(application([routes]))) as http:
        assert await Client(http).refusal() == (503, "storage_off", None)


async def test_reading_needs_a_token_where_tokens_are_on(site: Site) -> None:
    gate = Gate(TokenKeys(secret="a secret of thirty-two bytes or more"))
    async with site.serving(gate=gate) as client:
        assert (await client.refusal())[0] == 401
    assert site.store.reads == 0


class WatchedRows(list[FinalRow]):
    """Rows that note which threads look at all of them."""

    def __init__(self, rows: Sequence[FinalRow]) -> None:
        super().__init__(rows)
        self.threads: set[threading.Thread] = set()

    def __iter__(self) -> Iterator[FinalRow]:
        self.threads.add(threading.current_thread())
        return super().__iter__()


class WatchedStore(MemoryStore):
    """A store whose rows are watched."""

    def __init__(self) -> None:
        super().__init__()
        self.rows_given = WatchedRows([final(1), final(2)])

    async def run(self, slug: str, *, epoch: str | None = None) -> StoredRun | None:
        return StoredRun("e1", STARTED_AT)

    async def finals(
        self, slug: str, *, epoch: str | None = None, after: int | None = None, limit: int
    ) -> Sequence[FinalRow]:
        return self.rows_given


@pytest.mark.parametrize("caption_format", ["json", "vtt", "srt", "txt"])
async def test_captions_are_not_made_on_the_event_loop(site: Site, caption_format: str) -> None:
    store = WatchedStore()
    async with site.serving(store) as client:
        assert (await client.get(f"?format={caption_format}")).status == 200
    assert store.rows_given.threads
    assert threading.current_thread() not in store.rows_given.threads
