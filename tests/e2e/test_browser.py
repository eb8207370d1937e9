"""A meeting as its viewers see it: published with FFmpeg, watched in a real Chromium."""

import asyncio
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.e2e.conftest import MakeRiver
from tests.e2e.river import River, gathered, write_tones

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.ffmpeg,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(90),
]

PATIENCE_S = 20.0


def page_text(driver: Chrome) -> str:
    return driver.find_element(By.TAG_NAME, "main").text


def _log(driver: Chrome) -> list[dict[str, str]]:
    lines: list[dict[str, str]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
    return lines


async def shows(driver: Chrome, text: str) -> None:
    """Return once the page shows a text; selenium blocks, so it waits in a thread."""
    waiting = WebDriverWait(driver, PATIENCE_S, poll_frequency=0.05)
    await asyncio.to_thread(waiting.until, lambda d: text in page_text(d))


async def report(whole: River, name: str) -> None:
    body = {"sessionSlug": "weekly", "identity": f"{name.lower()}:1", "name": name, "timestamp": 1}
    while True:
        await whole.post("/api/active-speaker", body)
        await asyncio.sleep(0.5)


async def test_a_recording_published_with_ffmpeg_is_read_in_chromium_with_names(
    river: MakeRiver, chromium: Chrome, tmp_path: Path
) -> None:
    recording = write_tones(tmp_path / "talk.wav", 440, 660, 880)
    async with river() as whole:
        url = await whole.start("weekly")
        await asyncio.to_thread(chromium.get, f"{whole.service.url}/s/weekly")
        reporting = asyncio.ensure_future(report(whole, "Alice"))
        try:
            await gathered(
                whole.publish(recording, url),
                shows(chromium, "utterance f0440"),
                shows(chromium, "utterance f0880"),
            )
        finally:
            reporting.cancel()
        text = page_text(chromium)
        assert "Alice" in text
        assert text.index("f0440") < text.index("f0660") < text.index("f0880")
        status, vtt = await whole.get("/api/realtime/sessions/weekly/transcript?format=vtt")
        assert status == 200
        assert vtt.count("<v Alice>") == 3
        severe = [line for line in _log(chromium) if line["level"] == "SEVERE"]
        assert severe == []
