"""Reading the captions: scrolling, by keyboard, by ear, on a phone, in the dark."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.web.fake_service import Message, Viewer, draft, final, ready
from tests.web.page import Page

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(60)]


def many(count: int) -> list[Message]:
    return [final(number, f"This is line {number}.") for number in range(1, count + 1)]


# Scrolling


def test_it_follows_the_newest_line(page: Page) -> None:
    page.service.answers.append(ready(history=many(60)))
    viewer = page.watch()
    page.until(lambda: is_at_the_end(page))
    viewer.send(final(61, "The newest."))
    page.until(lambda: page.finals()[-1:] == ["The newest."] and is_at_the_end(page))
    assert not page.find("#jump").is_displayed()


def test_it_stays_where_the_reader_scrolled_and_offers_the_way_back(page: Page) -> None:
    viewer = scrolled_up(page)
    before = page.script("return scrollY")
    viewer.send(final(61, "The newest."))
    page.shows(lambda: page.find("#jump").text, "Jump to latest (1 new)")
    assert page.script("return scrollY") == before
    page.find("#jump").click()
    page.until(lambda: is_at_the_end(page))
    assert not page.find("#jump").is_displayed()


def test_the_way_back_works_by_keyboard_and_keeps_the_focus_in_the_captions(page: Page) -> None:
    scrolled_up(page)
    page.script("document.getElementById('jump').focus()")
    page.press(Keys.ENTER)
    page.until(lambda: is_at_the_end(page))
    assert page.focused() == "main"


def scrolled_up(page: Page) -> Viewer:
    page.service.answers.append(ready(history=many(60)))
    viewer = page.watch()
    page.until(lambda: is_at_the_end(page))
    page.press(Keys.PAGE_UP, Keys.PAGE_UP)
    page.until(page.find("#jump").is_displayed)
    return viewer


def is_at_the_end(page: Page) -> bool:
    left = "return document.documentElement.scrollHeight - innerHeight - scrollY"
    return len(page.finals()) >= 60 and abs(page.script(left)) < 2


# For everyone


def test_a_screen_reader_hears_finals_and_not_drafts(page: Page) -> None:
    page.watch()
    log, drafts = page.find("#finals"), page.find("#drafts")
    assert (log.get_attribute("role"), log.get_attribute("aria-live")) == ("log", "polite")
    assert drafts.get_attribute("aria-live") == "off"
    assert page.script("return document.querySelector('[aria-live=polite] #drafts')") is None
    assert page.find("#connection").get_attribute("role") == "status"


def test_a_screen_reader_is_spared_the_history(page: Page) -> None:
    page.service.answers.append(ready(history=many(20)))
    page.open("/s/weekly")
    page.until(lambda: page.find("#finals").get_attribute("aria-live") == "off")
    page.until(lambda: page.find("#finals").get_attribute("aria-live") == "polite")
    assert len(page.finals()) == 20


def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(page: Page) -> None:
    page.resize(600, 800)
    page.watch()
    reached = []
    for _ in range(3):
        page.press(Keys.TAB)
        reached.append(page.focused())
        assert (
            page.script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
        )
    assert reached[1:] == ["", "panel-toggle"]
    page.press(Keys.ENTER, Keys.TAB)
    assert page.focused() == "VTT"
    assert page.find("#panel-toggle").get_attribute("aria-expanded") == "true"
    page.press(Keys.ESCAPE)
    assert page.focused() == "panel-toggle"
    assert not page.find("#panel").is_displayed()


def test_the_keyboard_can_skip_to_the_captions(page: Page) -> None:
    page.watch()
    page.press(Keys.TAB, Keys.ENTER)
    assert page.focused() == "main"


def test_whoever_wants_no_motion_gets_none(page: Page) -> None:
    page.prefer("light", motion="reduce")
    viewer = page.watch()
    viewer.send(draft(1, "Hello"))
    page.shows(page.drafts, ["Hello"])
    moving = "return document.getAnimations().length"
    assert page.script(moving) == 0
    page.prefer("light")
    page.until(lambda: page.script(moving) == 3)


@pytest.mark.parametrize("width", [320, 360, 700, 1400])
def test_nothing_scrolls_sideways(page: Page, width: int) -> None:
    page.resize(width, 740)
    viewer = page.watch("w" * 128)
    long = {"sessionSlug": "w" * 128, "speaker": "N" * 90}
    viewer.send(final(1, "x" * 400, **long), draft(2, "y" * 400, **long))
    page.shows(lambda: len(page.drafts()), 1)
    assert page.script("return document.documentElement.scrollWidth") <= width
    assert page.find("#connection").is_displayed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_of_text_can_be_read(page: Page, scheme: str) -> None:
    page.prefer(scheme)
    viewer = page.watch()
    speakers = [f"Speaker {number}" for number in range(12)]
    viewer.send(
        *(final(at, "Hi.", speaker=name, speakerId=name) for at, name in enumerate(speakers, 1)),
        draft(99, "And so", speaker="room", speakerId="room"),
    )
    page.shows(page.drafts, ["And so"])
    assert (
        page.run_js_test("contrast_tests.js", "every text stands out from what is behind it")
        is None
    )


def test_the_console_stays_silent(page: Page) -> None:
    page.complaints()
    page.open("/")
    page.shows(lambda: page.find("#sessions-note").is_displayed(), True)
    viewer = page.watch()
    viewer.send(draft(1, "Hel"), final(1, "Hello.", rev=2), {"type": "news from tomorrow"})
    page.shows(page.finals, ["Hello."])
    assert page.complaints() == []
