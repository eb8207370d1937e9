import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.faults.proxy import Proxy, Streams, Way


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back, say goodbye at its end, and close."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write(b"bye")
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, Proxy.to("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


@asynccontextmanager
async def client_of(proxy: Proxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def say(client: Streams, data: bytes) -> bytes:
    client[1].write(data)
    return await client[0].readexactly(len(data))


async def test_without_a_fault_bytes_and_ends_pass_unchanged() -> None:
    async with echo_behind_proxy() as proxy, client_of(proxy) as client:
        data = bytes(range(256)) * 4096
        assert await say(client, data) == data
        client[1].write_eof()
        assert await client[0].read() == b"bye"
        assert proxy.accepted == 1


async def test_a_reset_ends_what_is_open_and_welcomes_what_is_new() -> None:
    async with echo_behind_proxy() as proxy, client_of(proxy) as first:
        await say(first, b"a")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await first[0].read()
        async with client_of(proxy) as second:
            assert await say(second, b"b") == b"b"


async def test_a_cut_server_refuses_until_it_is_back() -> None:
    async with echo_behind_proxy() as proxy, client_of(proxy) as first:
        await say(first, b"a")
        with proxy.cut():
            with pytest.raises(ConnectionResetError):
                await first[0].read()
            async with client_of(proxy) as second:
                with pytest.raises(ConnectionResetError):
                    await second[0].read()
        async with client_of(proxy) as third:
            assert await say(third, b"c") == b"c"
        assert (proxy.accepted, proxy.refused) == (2, 1)


async def test_a_stall_holds_everything_back_and_loses_nothing() -> None:
    async with echo_behind_proxy() as proxy, client_of(proxy) as client:
        await say(client, b"a")
        with proxy.stalled():
            client[1].write(b"held back")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client[0].read(1)
        assert await client[0].readexactly(9) == b"held back"


async def test_a_delay_applies_to_both_ways() -> None:
    async with echo_behind_proxy() as proxy, client_of(proxy) as client:
        clock = asyncio.get_running_loop().time
        begun_at = clock()
        with proxy.delayed(0.03):
            await say(client, b"a")
        assert clock() - begun_at >= 0.058  # a loop counts in milliseconds


async def test_a_slow_path_takes_as_long_as_its_rate_says() -> None:
    async with echo_behind_proxy() as proxy, client_of(proxy) as client:
        clock = asyncio.get_running_loop().time
        begun_at = clock()
        with proxy.slow(100_000):
            await say(client, bytes(4_000))
        assert clock() - begun_at >= 0.078


async def test_a_half_closed_connection_still_carries_the_other_way() -> None:
    async with echo_behind_proxy() as proxy, client_of(proxy) as client:
        await say(client, b"a")
        proxy.half_close(Way.TO_SERVER)
        assert await client[0].read() == b"bye"


async def test_what_is_said_in_a_direction_that_was_half_closed_goes_nowhere() -> None:
    heard = bytearray()

    async def listen_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read())
        writer.write(b"still here")
        heard.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(listen_on, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Proxy.to("127.0.0.1", port) as proxy, client_of(proxy) as client:
        client[1].write(b"a")
        await eventually(lambda: proxy.links)
        proxy.half_close(Way.TO_SERVER)
        client[1].write(b"b")
        assert await client[0].read() == b"still here"
    assert b"b" not in heard


async def test_an_answer_is_lost_once_and_only_after_the_server_gave_it() -> None:
    async with echo_behind_proxy() as proxy, client_of(proxy) as first:
        await say(first, b"a")
        with proxy.answer_lost(b"COMMIT") as lost:
            first[1].write(b"COMMIT")
            with pytest.raises(ConnectionResetError):
                await first[0].read()
            assert lost.is_set()
            async with client_of(proxy) as second:
                assert await say(second, b"COMMIT") == b"COMMIT"


async def test_a_server_that_is_not_there_resets_the_client() -> None:
    async with Proxy.to_unix("/nonexistent") as proxy, client_of(proxy) as client:
        with pytest.raises(ConnectionResetError):
            await client[0].read()
        assert proxy.refused == 1


async def test_a_unix_socket_can_be_behind_it(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(answer, tmp_path / "s")
    async with server, Proxy.to_unix(str(tmp_path / "s")) as proxy, client_of(proxy) as client:
        assert await say(client, b"a") == b"a"


async def test_leaving_it_resets_what_is_open() -> None:
    async with echo_behind_proxy() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        await say((reader, writer), b"a")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    await eventually(lambda: not proxy.links)
