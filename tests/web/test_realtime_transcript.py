"""The client's own tests are JavaScript and run in the browser, one pytest test for each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.web.page import Page

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(60)]

JS = Path(__file__).parent / "js"
SENTENCE = re.compile(r'^test\("(.+)", ', re.MULTILINE)


def told_in(module: str) -> list[object]:
    sentences = SENTENCE.findall((JS / module).read_text("utf-8"))
    return [pytest.param(module, each, id=each.replace(" ", "-")) for each in sentences]


@pytest.mark.parametrize(
    ("module", "sentence"), [*told_in("state_tests.js"), *told_in("client_tests.js")]
)
def test_client(page: Page, module: str, sentence: str) -> None:
    page.open("/tests/blank.html")
    assert page.run_js_test(module, sentence) is None
