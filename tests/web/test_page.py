"""What the viewer page shows, how it keeps its connection, and how one gets in."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.web.fake_service import ABNORMAL, bob, draft, final, ready
from tests.web.page import Page

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(60)]

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


# What is shown


def test_finals_appear_in_order_with_names_and_times(page: Page) -> None:
    viewer = page.watch()
    viewer.send(final(13, "Good morning."), bob(final(1, "I was first.")))
    page.shows(page.finals, ["I was first.", "Good morning."])
    assert page.texts("#finals .name") == ["Bob", "Alice"]
    assert page.texts("#finals time") == ["00:05", "01:05"]


def test_history_and_open_drafts_await_a_late_comer(page: Page) -> None:
    page.service.answers.append(
        ready(history=[final(1, "Before you.")], drafts=[draft(2, "And n")])
    )
    page.watch()
    page.shows(page.finals, ["Before you."])
    page.shows(page.drafts, ["And n"])


def test_a_draft_grows_with_a_typing_mark_and_becomes_its_final(page: Page) -> None:
    viewer = page.watch()
    viewer.send(draft(1, "Good mor"), draft(1, "Good morning every", rev=2))
    page.shows(page.drafts, ["Good morning every"])
    assert page.find("#drafts .typing").is_displayed()
    viewer.send(final(1, "Good morning, everyone.", rev=3))
    page.shows(page.finals, ["Good morning, everyone."])
    assert page.drafts() == []
    assert not page.find("#finals .typing").is_displayed()


def test_a_final_with_another_id_takes_the_place_of_a_similar_draft(page: Page) -> None:
    viewer = page.watch()
    viewer.send(draft(1, "the cat sat on"), final(1, "The cat sat on the mat.", utteranceId="x"))
    page.shows(page.finals, ["The cat sat on the mat."])
    assert page.drafts() == []


def test_a_draft_without_change_for_five_seconds_is_settled(page: Page) -> None:
    page.hurry()
    viewer = page.watch()
    viewer.send(draft(1, "I think that"))
    page.until(lambda: page.texts("#drafts .settled .words") == ["I think that"])
    assert not page.find("#drafts .typing").is_displayed()


def test_a_gap_is_marked_where_it_was(page: Page) -> None:
    viewer = page.watch()
    gap = {"from": 101.2, "to": 104.7, "reason": "stt unavailable"}
    viewer.send(
        final(40, "Later."), final(1, "Earlier."), {"type": "gap", "sessionSlug": "weekly"} | gap
    )
    lines = ["Earlier.", "Audio lost from 01:41 to 01:44 (stt unavailable)", "Later."]
    page.shows(lambda: page.texts("#finals .words, #finals .gap"), lines)


def test_text_and_names_are_never_markup(page: Page) -> None:
    viewer = page.watch()
    viewer.send(final(1, HOSTILE, speaker=HOSTILE, speakerId=HOSTILE, language='"><b>'))
    viewer.send(draft(2, HOSTILE))
    page.shows(page.finals, [HOSTILE])
    assert page.texts("#finals .name") == [HOSTILE]
    page.shows(page.drafts, [HOSTILE])
    assert (
        page.script("return document.querySelectorAll('main img, main script, main b').length") == 0
    )
    assert page.driver.title == "weekly · Live captions"


def test_each_speaker_keeps_a_colour_that_nobody_else_has(page: Page) -> None:
    viewer = page.watch()
    names = [f"Speaker {letter}" for letter in "ABCDEFGHIJKL"]
    viewer.send(
        *(final(at, "Hi.", speaker=name, speakerId=name) for at, name in enumerate(names, 1))
    )
    page.shows(lambda: page.texts("#finals .name"), names)
    hues = page.script(
        "return [...document.querySelectorAll('#finals .line')]"
        ".map((line) => line.style.getPropertyValue('--hue'))"
    )
    assert len(set(hues)) == len(names)


def test_the_panel_lists_who_spoke_and_for_how_long(page: Page) -> None:
    viewer = page.watch()
    viewer.send(final(1, "One."), final(2, "Two."), bob(final(3, "Three.")))
    page.shows(lambda: page.texts("#speakers .name"), ["Alice", "Bob"])
    assert page.texts("#speakers .amount") == ["00:04", "00:02"]


# The connection


@pytest.mark.parametrize("code", [ABNORMAL, 1001, 1012, 4001, 4008])
def test_cut_off_it_comes_back_and_resumes(page: Page, code: int) -> None:
    page.hurry()
    viewer = page.watch()
    assert "since" not in viewer.subscribe
    viewer.send(final(1, "Before the cut."))
    page.shows(page.finals, ["Before the cut."])
    page.service.answers.append(ready(recovered=True, seq=2, history=[final(2, "Meanwhile.")]))
    viewer.cut(code)
    again = page.service.next_viewer()
    assert (again.subscribe["since"], again.subscribe["epoch"]) == (1, "epoch-1")
    page.shows(page.finals, ["Before the cut.", "Meanwhile."])
    page.shows(page.connection, "Live")


def test_a_restart_of_the_service_doubles_no_line_and_loses_none(page: Page) -> None:
    page.hurry()
    viewer = page.watch()
    viewer.send(final(1, "Before."), draft(2, "It was about t"), draft(3, "nobody ends th"))
    page.shows(page.drafts, ["It was about t", "nobody ends th"])
    viewer.send(
        {
            "type": "status",
            "sessionSlug": "weekly",
            "state": "draining",
            "reason": "the service restarts",
        }
    )
    page.shows(page.connection, "Finishing")
    ended = final(2, "It was about to end.", rev=2, seq=4)
    page.service.answers.append(ready(recovered=True, seq=5, history=[ended, final(5, "After.")]))
    viewer.cut(4001)
    again = page.service.next_viewer()
    assert (again.subscribe["since"], again.subscribe["epoch"]) == (3, "epoch-1")
    page.shows(page.finals, ["Before.", "It was about to end.", "After."])
    assert page.drafts() == []
    page.shows(page.connection, "Live")
    again.send(ended, final(6, "And on."))
    page.shows(page.finals, ["Before.", "It was about to end.", "After.", "And on."])


def test_a_resume_that_could_not_recover_shows_the_history_and_says_so(page: Page) -> None:
    page.hurry()
    viewer = page.watch()
    viewer.send(final(1, "Long ago."))
    page.shows(page.finals, ["Long ago."])
    answer = ready(recovered=False, epoch="epoch-2", seq=9, history=[final(9, "The latest.")])
    page.service.answers.append(answer)
    viewer.cut(ABNORMAL)
    page.shows(page.finals, ["The latest."])
    assert "earlier captions may be missing" in page.find("#trouble").text


def test_while_the_service_is_away_it_says_reconnecting(page: Page) -> None:
    viewer = page.watch()
    page.shows(page.connection, "Live")
    page.script("globalThis.WebSocket = class { close() {} }")  # from now on nobody answers
    viewer.cut(ABNORMAL)
    page.shows(page.connection, "Reconnecting…")


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ("waiting_for_egress", "Waiting for audio"),
        ("reconnecting", "Audio interrupted"),
        ("draining", "Finishing"),
        ("ended", "Ended"),
    ],
)
def test_the_session_s_state_is_shown(page: Page, state: str, wanted: str) -> None:
    viewer = page.watch()
    viewer.send({"type": "status", "sessionSlug": "weekly", "state": state})
    page.shows(page.connection, wanted)


def test_after_the_end_it_stays_and_offers_to_connect_again(page: Page) -> None:
    viewer = page.watch()
    viewer.send(final(1, "Goodbye."), {"type": "status", "sessionSlug": "weekly", "state": "ended"})
    viewer.cut(1000)
    page.until(page.find("#connect-again").is_displayed)
    assert page.finals() == ["Goodbye."]
    page.find("#connect-again").click()
    assert page.service.next_viewer().subscribe["since"] == 1


def test_an_unknown_session_is_awaited(page: Page) -> None:
    page.hurry()
    page.service.answers.append(4404)
    page.watch()
    page.shows(page.connection, "Not started")
    assert "no session of this name yet" in page.find("#empty").text
    page.service.next_viewer()
    page.shows(page.connection, "Live")


# Tokens


def test_a_token_in_the_address_is_used_and_taken_out_of_it(page: Page) -> None:
    viewer = page.watch(fragment="#token=secret")
    assert viewer.subscribe["token"] == "secret"
    assert page.driver.current_url == f"{page.service.url}/s/weekly"
    page.driver.refresh()
    assert page.service.next_viewer().subscribe["token"] == "secret"


def test_refused_it_asks_for_a_token_and_tries_again(page: Page) -> None:
    page.service.answers.append(4401)
    page.watch()
    page.until(page.find("#token").is_displayed)
    assert page.find("#token").get_attribute("type") == "password"
    assert page.focused() == "token"
    page.press("secret", Keys.ENTER)
    assert page.service.next_viewer().subscribe["token"] == "secret"
    page.shows(page.connection, "Live")
    assert not page.find("#token-form").is_displayed()


def test_the_list_asks_for_a_token_too(page: Page) -> None:
    page.service.secret = "secret"
    page.service.sessions = [{"sessionSlug": "weekly", "state": "live", "viewers": 1}]
    page.open("/")
    page.until(page.find("#token").is_displayed)
    page.press("secret", Keys.ENTER)
    page.shows(lambda: page.texts("#sessions .slug"), ["weekly"])


# Choosing a session, and files


def test_the_front_page_lists_sessions_that_lead_to_their_captions(page: Page) -> None:
    page.service.sessions = [
        {"sessionSlug": "weekly", "state": "live", "viewers": 3},
        {"sessionSlug": "standup", "state": "waiting_for_egress", "viewers": 1},
    ]
    page.open("/")
    page.shows(lambda: page.texts("#sessions .slug"), ["weekly", "standup"])
    assert page.texts("#sessions .state") == ["Live", "Waiting for audio"]
    assert page.texts("#sessions .viewers") == ["3 viewers", "1 viewer"]
    page.find("#sessions a").click()
    assert page.service.next_viewer().subscribe["sessionSlug"] == "weekly"


def test_the_front_page_says_when_there_is_nothing(page: Page) -> None:
    page.open("/")
    note = "No sessions right now. This list refreshes by itself."
    page.shows(lambda: page.find("#sessions-note").text, note)


def test_a_session_opens_by_name_and_a_bad_name_is_refused(page: Page) -> None:
    page.open("/")
    page.find("#slug").send_keys("no spaces here", Keys.ENTER)
    page.until(lambda: "letters, digits" in page.find("#slug-problem").text)
    assert page.find("#slug").get_attribute("aria-invalid") == "true"
    page.find("#slug").clear()
    page.find("#slug").send_keys("board-2", Keys.ENTER)
    assert page.service.next_viewer().subscribe["sessionSlug"] == "board-2"


def test_captions_can_be_saved_in_three_formats(page: Page) -> None:
    page.watch()
    page.shows(page.connection, "Live")
    links = page.script(
        "return [...document.querySelectorAll('#downloads a')]"
        ".map((link) => [link.getAttribute('href'), link.download])"
    )
    path = "/api/realtime/sessions/weekly/transcript?format={}&epoch=epoch-1"
    assert links == [[path.format(kind), f"weekly.{kind}"] for kind in ("vtt", "srt", "txt")]


def test_a_file_behind_a_token_is_fetched_with_it(page: Page, tmp_path: Path) -> None:
    page.service.secret = "secret"
    page.save_files_to(tmp_path)
    page.watch(fragment="#token=secret")
    page.find("[data-format=srt]").click()
    saved = tmp_path / "weekly.srt"
    page.until(saved.exists)
    assert saved.read_text() == "a srt file"


def test_a_file_that_is_refused_says_so(page: Page) -> None:
    page.service.secret = "secret"
    page.watch(fragment="#token=wrong")
    page.find("[data-format=vtt]").click()
    page.shows(lambda: page.find("#download-problem").text, "The file cannot be downloaded now.")
