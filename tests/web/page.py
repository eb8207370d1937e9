"""The viewer page as a reader meets it: what is opened, read, typed and pressed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.web.fake_service import FakeService, Viewer

T = TypeVar("T")

PATIENCE_S = 10.0
POLL_S = 0.02

# Runs before the page's own scripts: its timers and its clock go faster.
FAST_TIME = """
const factor = %d, {setTimeout: later} = window, now = performance.now.bind(performance);
window.setTimeout = (callback, ms, ...rest) => later(callback, ms / factor, ...rest);
performance.now = () => now() * factor;
"""


class Page:
    """Drives one tab. Every wait is bounded and ends as soon as what it waits for is there."""

    def __init__(self, driver: Chrome, service: FakeService) -> None:
        self.driver = driver
        self.service = service
        self._scripts: list[str] = []

    def open(self, path: str) -> None:
        self.driver.get(self.service.url + path)

    def watch(self, slug: str = "weekly", fragment: str = "") -> Viewer:
        """Open a session and return its connection, seen from the service."""
        self.open(f"/s/{slug}{fragment}")
        return self.service.next_viewer()

    def hurry(self, factor: int = 20) -> None:
        """Make time pass faster in the pages opened from now on."""
        command = "Page.addScriptToEvaluateOnNewDocument"
        added = self.driver.execute_cdp_cmd(command, {"source": FAST_TIME % factor})
        self._scripts.append(added["identifier"])

    def leave(self) -> None:
        for script in self._scripts:
            command = "Page.removeScriptToEvaluateOnNewDocument"
            self.driver.execute_cdp_cmd(command, {"identifier": script})
        self.driver.get("about:blank")
        self.complaints()

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, scheme: str, *, motion: str = "no-preference") -> None:
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def save_files_to(self, folder: Path) -> None:
        behavior = {"behavior": "allow", "downloadPath": str(folder)}
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behavior)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The visible text of each match, in the order of the page."""
        return [each.text for each in self.driver.find_elements(By.CSS_SELECTOR, selector)]

    def finals(self) -> list[str]:
        return self.texts("#finals .words")

    def drafts(self) -> list[str]:
        return self.texts("#drafts .words")

    def connection(self) -> str:
        return self.find("#connection").text

    def script(self, code: str, *arguments: object) -> Any:
        return self.driver.execute_script(code, *arguments)

    def run_js_test(self, module: str, sentence: str) -> str | None:
        """Run one test of a module under ``tests/web/js``; return its failure, if any."""
        code = (
            "const [module, sentence, done] = arguments;"
            "import(module).then((tests) => tests.run(sentence))"
            ".then(() => done(null), (error) => done(String(error.stack)));"
        )
        run = cast(Callable[..., str | None], self.driver.execute_async_script)
        return run(code, f"/tests/{module}", sentence)

    def press(self, *keys: str) -> None:
        """Press keys one after another, wherever the focus is."""
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def focused(self) -> str:
        """The id, or else the text, of the element that has the focus."""
        element = self.driver.switch_to.active_element
        return element.get_attribute("id") or element.text

    def complaints(self) -> list[str]:
        """What the browser's console has said since it was last asked."""
        logs = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in logs]

    def until(self, condition: Callable[[], T]) -> T:
        """Wait until ``condition()`` is true of the page; elements may be replaced meanwhile."""
        wait = WebDriverWait(
            self.driver, PATIENCE_S, POLL_S, ignored_exceptions=(StaleElementReferenceException,)
        )
        return wait.until(lambda _: condition())

    def shows(self, read: Callable[[], T], wanted: T) -> bool:
        """Wait until ``read()`` gives ``wanted``; fail with what it gives instead."""
        try:
            return self.until(lambda: read() == wanted)
        except Exception as exc:
            raise AssertionError(f"the page shows {read()!r}, not {wanted!r}") from exc
