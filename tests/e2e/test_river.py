"""From an RTMP publish to a caption with a name and a row, on the real parts."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeRiver
from tests.e2e.river import River, gathered, write_tones

pytestmark = [pytest.mark.ffmpeg, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(60)]


async def keep_reporting(river: River, slug: str, name: str, to_s: float) -> None:
    """Report a speaker every half second, as a client does."""
    began_at = asyncio.get_running_loop().time()
    while (passed_s := asyncio.get_running_loop().time() - began_at) < to_s:
        body = {
            "sessionSlug": slug,
            "identity": f"{name.lower()}:1",
            "name": name,
            "timestamp": passed_s,
        }
        status, answer = await river.post("/api/active-speaker", body)
        assert status == 204, answer
        await asyncio.sleep(0.5)


async def test_what_is_published_becomes_named_captions_and_rows(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 660)
    async with river() as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            ready = await viewer.until(lambda m: m["type"] == "ready")
            assert ready["state"] == "waiting_for_egress"
            await gathered(
                whole.publish(recording, url),
                keep_reporting(whole, "weekly", "Alice", 4.0),
                viewer.to_the_end(),
            )
        texts = [final["text"] for final in viewer.finals]
        assert len(texts) == 2
        assert [text.split()[1] for text in texts] == ["f0440", "f0660"]
        assert viewer.drafts
        assert {final["speaker"] for final in viewer.finals} == {"Alice"}
        assert [m["state"] for m in viewer.messages if m["type"] == "status"][-1] == "ended"
        status, vtt = await whole.get("/api/realtime/sessions/weekly/transcript?format=vtt")
        assert status == 200
        assert vtt.startswith("WEBVTT")
        assert f"<v Alice>{texts[0]}" in vtt


async def test_every_second_published_reaches_speech_to_text(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 550, 660)
    async with river() as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            await gathered(whole.publish(recording, url), viewer.to_the_end())
        (session,) = whole.emulator.sessions.values()
        # 0.8 + three times 2.0 s, and the encoder's priming and padding.
        assert session.received_bytes / 32_000 == pytest.approx(6.8, abs=0.08)
        assert session.custom_metadata == {"sessionSlug": "weekly"}


async def test_times_of_captions_are_those_of_the_recording(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 660)
    async with river() as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            await gathered(whole.publish(recording, url), viewer.to_the_end())
        assert [final["startedAt"] for final in viewer.finals] == pytest.approx(
            [0.8, 2.8], abs=0.15
        )


async def test_a_late_comer_gets_what_was_said(river: MakeRiver, tmp_path: Path) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 660)
    async with river() as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as early, whole.viewer("weekly") as other:
            publishing = asyncio.ensure_future(whole.publish(recording, url))
            first = await early.until(lambda m: m["type"] == "transcript" and m["isFinal"])
            async with whole.viewer("weekly") as late:
                ready = await late.until(lambda m: m["type"] == "ready")
                assert [t["utteranceId"] for t in ready["history"]] == [first["utteranceId"]]
                await gathered(publishing, early.to_the_end(), other.to_the_end())
                await late.to_the_end()
            assert len(late.finals) == 1
            assert len(other.finals) == 2


async def test_two_sessions_do_not_hear_each_other(river: MakeRiver, tmp_path: Path) -> None:
    one = write_tones(tmp_path / "one.wav", 440)
    two = write_tones(tmp_path / "two.wav", 880)
    async with river() as whole:
        urls = [await whole.start("one"), await whole.start("two")]
        async with whole.viewer("one") as first, whole.viewer("two") as second:
            await gathered(
                whole.publish(one, urls[0]),
                whole.publish(two, urls[1]),
                first.to_the_end(),
                second.to_the_end(),
            )
        assert [final["text"].split()[1] for final in first.finals] == ["f0440"]
        assert [final["text"].split()[1] for final in second.finals] == ["f0880"]


async def test_the_stt_socket_may_be_cut_and_nothing_is_lost_or_doubled(
    river: MakeRiver, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 550, 660)
    async with river() as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            publishing = asyncio.ensure_future(whole.publish(recording, url))
            await viewer.until(lambda m: m["type"] == "transcript" and m["isFinal"])
            whole.emulator.fault("cut", session="weekly", code=1006)
            await gathered(publishing, viewer.to_the_end())
        assert [final["text"].split()[1] for final in viewer.finals] == ["f0440", "f0550", "f0660"]
        assert viewer.finals[2]["startedAt"] == pytest.approx(4.8, abs=0.15)


async def test_metrics_tell_what_happened(river: MakeRiver, tmp_path: Path) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440)
    async with river() as whole:
        url = await whole.start("weekly")
        async with whole.viewer("weekly") as viewer:
            await gathered(whole.publish(recording, url), viewer.to_the_end())
        _, text = await whole.get("/metrics")
        assert 'sessions_ended_total{outcome="ended"} 1.0' in text
        assert "transcripts_lost_total 0.0" in text
        assert "transcript_finals_total 1.0" in text
        _, snapshot = await whole.get("/metrics", Accept="application/json")
        assert '"gladia.stt_latency_ms"' in snapshot
