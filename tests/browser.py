"""A plugin: a real headless Chromium for the tests marked ``chromium``, and the viewer page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.web.fake_service import FakeService
from tests.web.page import Page

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-smooth-scrolling",
    "--window-size=1400,900",
)


def _installed(*names: str) -> str:
    """The first of these programs that is there; selenium must never fetch one itself."""
    found = (shutil.which(name) for name in names)
    return next((path for path in found if path), names[0])


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One browser for the whole run; starting it takes longer than most tests."""
    os.environ["SE_OFFLINE"] = "true"
    driver = webdriver.Chrome(_options(tmp_path_factory.mktemp("chromium")), _service())
    driver.set_script_timeout(15)
    driver.set_page_load_timeout(15)
    yield driver
    driver.quit()


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A service on a port of its own, so that no test inherits another's tab storage."""
    with FakeService() as service:
        yield service


@pytest.fixture
def page(chromium: webdriver.Chrome, service: FakeService) -> Iterator[Page]:
    """The viewer page in the browser, at desktop size and in light colours."""
    page = Page(chromium, service)
    page.resize(1400, 900)
    page.prefer("light")
    yield page
    page.leave()


def _options(profile: Path) -> webdriver.ChromeOptions:
    options = webdriver.ChromeOptions()
    options.binary_location = _installed("chromium", "google-chrome", "chromium-browser")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return options


def _service() -> Service:
    return Service(_installed("chromedriver"))
