import asyncio

from realtime_core.decode.outlet import Outlet


async def test_a_producer_waits_for_room_and_loses_nothing() -> None:
    outlet = Outlet(2)
    pieces = [bytes([number]) for number in range(9)]

    async def produce() -> None:
        for piece in pieces:
            await outlet.put(piece)
            assert len(pieces) >= 2
        outlet.close()

    producing = asyncio.create_task(produce())
    await asyncio.sleep(0)
    assert outlet.is_full
    assert not producing.done()
    assert [piece async for piece in outlet] == pieces
    await producing


async def test_a_consumer_that_waits_is_told_of_the_end() -> None:
    outlet = Outlet(2)
    asyncio.get_running_loop().call_soon(outlet.close)
    assert [piece async for piece in outlet] == []
