from typing import Any

import aiohttp
import pytest

from gladia_emulator.faults import PARAMETERS, Fault, FaultBook, FaultName
from gladia_emulator.scripted import silence, text_for, tone
from tests.eventually import eventually
from tests.gladia_emulator.client import BODY, CHUNK_BYTES, HELLO, Client, Socket, range_of

IN_FLIGHT_BYTES = 2 * CHUNK_BYTES


async def heard(client: Client, **changes: Any) -> Socket:
    """Say one utterance, stop, and return what a session answered."""
    session = await client.start(**changes)
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.stop()
        await socket.until_closed()
    return socket


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4408, 4429, 4500])
async def test_cut_closes_with_the_code_now(client: Client, code: int) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.until_type("start_recording")
        client.emulator.fault("cut", code=code, reason="because")
        assert await socket.until_closed() == code
    ends = code == 1000 or 4400 <= code < 4500
    assert await client.refusal_of(session["url"]) == (403 if ends else 101)


async def test_cut_is_without_a_word_unless_told_otherwise(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.until_type("start_recording")
        client.emulator.fault("cut")
        assert await socket.until_closed() == 1006
    assert await client.refusal_of(session["url"]) == 101


@pytest.mark.parametrize(("fate", "accepted"), [("counted", 2), ("lost", 0)])
async def test_in_flight_bytes_are_not_acknowledged(
    client: Client, fate: str, accepted: int
) -> None:
    client.emulator.fault(
        "cut", after_bytes=CHUNK_BYTES, in_flight=fate, in_flight_bytes=IN_FLIGHT_BYTES
    )
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(silence(0.1))
        await socket.until_acknowledged(CHUNK_BYTES)
        await socket.say(silence(0.2))
        assert await socket.until_closed() == 1006
    acknowledged = [range_of(each) for each in socket.got if each["type"] == "audio_chunk"]
    assert acknowledged == [(0, CHUNK_BYTES)]
    live = client.emulator.sessions[session["id"]]
    assert live.received_bytes == (1 + accepted) * CHUNK_BYTES
    async with client.socket(session["url"]) as socket:
        await socket.say(silence(0.1))
        first = range_of(await socket.until_type("audio_chunk"))
    assert first[0] == (1 + accepted) * CHUNK_BYTES


async def test_cut_strikes_when_its_bytes_have_come(client: Client) -> None:
    client.emulator.fault("cut", code=1011, after_bytes=3 * CHUNK_BYTES)
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(silence(0.3))
        assert await socket.until_closed() == 1011
    assert client.emulator.sessions[session["id"]].received_bytes == 3 * CHUNK_BYTES


async def test_accept_then_close_as_often_as_told(client: Client) -> None:
    fault = client.emulator.fault("accept_then_close", times=3)
    session = await client.start()
    for _ in range(3):
        async with client.socket(session["url"]) as socket:
            assert await socket.until_closed() == 1011
    assert fault.spent
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.until_final()


async def test_refused_handshake(client: Client) -> None:
    client.emulator.fault("refuse_connect", status=410)
    session = await client.start()
    assert await client.refusal_of(session["url"]) == 410
    assert await client.refusal_of(session["url"]) == 101


async def test_frozen_socket_says_nothing_until_it_thaws(client: Client) -> None:
    session = await client.start()
    live = client.emulator.sessions[session["id"]]
    async with client.socket(session["url"]) as socket:
        await socket.until_type("start_recording")
        client.emulator.fault("freeze", seconds=0.1)
        await socket.say(HELLO)
        await socket.ws.ping()
        await socket.until_final()
        assert range_of(socket.got[1])[0] == 0
    assert live.received_bytes == len(HELLO)


async def test_frozen_for_good_is_cut_when_the_client_comes_anew(client: Client) -> None:
    session = await client.start()
    async with client.socket(session["url"]) as frozen:
        await frozen.until_type("start_recording")
        client.emulator.fault("freeze")
        await frozen.say(silence(0.1))
        async with client.socket(session["url"]) as socket:
            await socket.say(HELLO)
            await socket.until_final()
        assert await frozen.until_closed() == 1006
    assert frozen.types == ["start_recording"]
    assert client.emulator.sessions[session["id"]].received_bytes == len(HELLO)


async def test_swallowed_acks_are_of_accepted_bytes(client: Client) -> None:
    client.emulator.fault("swallow_acks", times=2)
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(silence(0.3))
        assert range_of(await socket.until_type("audio_chunk")) == (6_400, 9_600)


async def test_delayed_acks_come_in_order(client: Client) -> None:
    client.emulator.fault("delay_acks", seconds=0.02, times=None)
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        await socket.until_acknowledged(len(HELLO))
    ranges = [range_of(each) for each in socket.got if each["type"] == "audio_chunk"]
    assert ranges == sorted(ranges)
    assert socket.got[1]["type"] != "audio_chunk"


async def test_refused_audio_is_not_counted(client: Client) -> None:
    client.emulator.fault("refuse_audio", message="out of credit")
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(silence(0.2))
        refused = await socket.until_type("audio_chunk")
        assert (refused["acknowledged"], refused["data"]) == (False, None)
        assert refused["error"] == {"message": "out of credit"}
        assert range_of(await socket.until_type("audio_chunk")) == (0, CHUNK_BYTES)


async def test_swallowed_stop_leaves_the_session_open(client: Client) -> None:
    client.emulator.fault("swallow_stop")
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.stop()
        await socket.say(silence(0.1))
        await socket.until_acknowledged(CHUNK_BYTES)
        await socket.stop()
        assert await socket.until_closed() == 1000
    assert socket.types.count("stop_recording") == 1


async def test_final_never_sent_can_be_got(client: Client) -> None:
    client.emulator.fault("no_final")
    socket = await heard(client)
    assert socket.drafts
    assert socket.finals == []
    (live,) = client.emulator.sessions.values()
    assert live.result["transcription"]["full_transcript"] == text_for(440, 1.2)


async def test_delayed_final_comes_before_the_end(client: Client) -> None:
    client.emulator.fault("delay_final", seconds=0.05)
    socket = await heard(client)
    assert len(socket.finals) == 1
    assert socket.types[-1] == "end_session"


async def test_repeated_final_is_the_same(client: Client) -> None:
    client.emulator.fault("repeat_final")
    first, second = (await heard(client)).finals
    assert first == second


async def test_final_repeated_after_a_resume(client: Client) -> None:
    client.emulator.fault("repeat_final_after_resume")
    session = await client.start()
    async with client.socket(session["url"]) as socket:
        await socket.say(HELLO)
        final = await socket.until_final()
        await socket.ws.close(code=4000)
    async with client.socket(session["url"]) as socket:
        assert await socket.until_final() == final


async def test_changed_id_is_unlike_its_drafts(client: Client) -> None:
    client.emulator.fault("change_id")
    socket = await heard(client)
    (final,) = socket.finals
    assert {each["id"] for each in socket.drafts} == {"00_00000000"}
    assert final["id"] == "00_90000000"


async def test_malformed_json_comes_besides_what_is_due(client: Client) -> None:
    client.emulator.fault("malformed_json")
    socket = await heard(client)
    assert socket.types.count("malformed") == 1
    assert len(socket.finals) == 1


async def test_unknown_type_comes_besides_what_is_due(client: Client) -> None:
    client.emulator.fault("unknown_type")
    socket = await heard(client)
    assert socket.types.count("weather_report") == 1
    assert len(socket.finals) == 1


async def test_null_data_strikes_the_type_it_is_meant_for(client: Client) -> None:
    client.emulator.fault("null_data", type="speech_end")
    socket = await heard(client)
    assert [each["type"] for each in socket.got if "data" in each and each["data"] is None] == [
        "speech_end"
    ]


@pytest.mark.parametrize(
    ("status", "message"),
    [(429, "Maximum number of concurrent sessions"), (500, "Internal"), (422, "Invalid parameter")],
)
async def test_refused_post_twice_then_let_in(client: Client, status: int, message: str) -> None:
    client.emulator.fault("refuse_post", status=status, times=2)
    for _ in range(2):
        refused, body = await client.request("POST", "/v2/live", json=BODY)
        assert (refused, body["statusCode"]) == (status, status)
        assert body["message"].startswith(message)
    await client.start()


async def test_refused_post_may_name_a_pause(client: Client) -> None:
    client.emulator.fault("refuse_post", retry_after_s=7, message="later")
    url = client.emulator.url + "/v2/live"
    async with client.http.post(url, json={}) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        assert (await answer.json())["message"] == "later"


async def test_slow_post_outlasts_an_impatient_client(client: Client) -> None:
    client.emulator.fault("slow_post", seconds=0.2)
    with pytest.raises(TimeoutError):
        await client.request(
            "POST", "/v2/live", json=BODY, timeout=aiohttp.ClientTimeout(total=0.05)
        )
    await client.start()


async def test_fault_for_one_session_spares_the_other(client: Client) -> None:
    weekly = await client.start(custom_metadata={"sessionSlug": "weekly"})
    daily = await client.start(custom_metadata={"sessionSlug": "daily"})
    async with client.socket(weekly["url"]) as spared, client.socket(daily["url"]) as struck:
        await spared.until_type("start_recording")
        await struck.until_type("start_recording")
        client.emulator.fault("cut", session="daily", code=1011)
        assert await struck.until_closed() == 1011
        await spared.say(HELLO)
        await spared.until_final()
    client.emulator.fault("refuse_post", session="daily")
    await client.start(custom_metadata={"sessionSlug": "weekly"})
    status, _ = await client.request(
        "POST", "/v2/live", json={"custom_metadata": {"sessionSlug": "daily"}}
    )
    assert status == 429


async def test_session_goes_on_after_a_cut_by_id(client: Client) -> None:
    session = await client.start()
    live = client.emulator.sessions[session["id"]]
    async with client.socket(session["url"]) as socket:
        await socket.say(tone(440, 0.6))
        await socket.until(lambda each: each["type"] == "transcript")
        client.emulator.fault("cut", session=session["id"])
        await socket.until_closed()
    await eventually(lambda: not live.connected)
    async with client.socket(session["url"]) as socket:
        await socket.say(tone(440, 0.6) + silence(0.5))
        assert (await socket.until_final())["data"]["id"] == "00_00000000"


def test_book_strikes_oldest_first_and_as_often_as_told() -> None:
    book = FaultBook()
    first = book.arm(Fault(name=FaultName.CUT, code=1011, times=2))
    book.arm(Fault(name=FaultName.CUT, code=1012, times=None))
    taken = [book.take(FaultName.CUT, ("x",)) for _ in range(4)]
    assert [fault.code for fault in taken if fault] == [1011, 1011, 1012, 1012]
    assert (first.struck, first.spent) == (2, True)
    book.clear()
    assert book.take(FaultName.CUT, ("x",)) is None


@pytest.mark.parametrize("name", list(FaultName))
def test_fault_takes_only_its_own_parameters(name: FaultName) -> None:
    values: dict[str, Any] = {
        "status": 500, "message": "m", "retry_after_s": 1, "seconds": 1, "code": 1011,
        "reason": "r", "in_flight": "lost", "in_flight_bytes": 1, "type": "transcript",
    }  # fmt: skip
    own = PARAMETERS.get(name, ())
    assert Fault(name=name, **{key: values[key] for key in own}).name is name
    for other in values.keys() - set(own):
        with pytest.raises(ValueError, match=f"has no {other}"):
            Fault(name=name, **{other: values[other]})


def test_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="name"):
        Fault.model_validate({"name": "earthquake"})
