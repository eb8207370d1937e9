"""The examples in docs/protocol.md are what the code says and understands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from realtime_core.hub import commands, wire
from realtime_core.hub.wire import CloseCode

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
SERVER_TYPES = {kind.__struct_config__.tag: kind for kind in wire.ServerMessage.__subclasses__()}


def examples(side: str) -> list[str]:
    """Return the fenced blocks that are marked ``json`` and ``side``."""
    return re.findall(rf"^```json {side}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", examples("server"))
def test_the_server_can_send_it_exactly_so(example: str) -> None:
    kind = SERVER_TYPES[json.loads(example)["type"]]
    message = msgspec.json.decode(example, type=kind)
    assert json.loads(message.encode()) == json.loads(example)
    assert list(json.loads(message.encode())) == list(json.loads(example))


@pytest.mark.parametrize("example", examples("client"))
def test_the_client_may_send_it(example: str) -> None:
    assert type(commands.parse(example)) is commands.KINDS[json.loads(example)["type"]]


def test_every_type_of_message_has_an_example() -> None:
    shown = {json.loads(each)["type"] for each in examples("server")}
    assert shown == set(SERVER_TYPES)
    shown = {json.loads(each)["type"] for each in examples("client")}
    assert shown == set(commands.KINDS)
    assert set(commands.KINDS.values()) == set(get_args(commands.AnyCommand))


def test_transcripts_inside_ready_are_transcripts() -> None:
    (ready,) = (json.loads(each) for each in examples("server") if '"ready"' in each)
    for each in ready["drafts"] + ready["history"]:
        wire.parse_transcript(json.dumps(each).encode())


@pytest.mark.parametrize("example", examples("http"))
def test_http_examples_are_json(example: str) -> None:
    assert isinstance(json.loads(example), dict)


def test_the_posted_example_is_accepted() -> None:
    (posted,) = (each for each in examples("http") if '"type"' in each)
    assert wire.parse_transcript(posted.encode()).text == "Hello everyone"


def test_no_example_is_left_out_of_these_tests() -> None:
    fences = re.findall(r"^```(.*)$", DOCUMENT, re.MULTILINE)
    assert set(fences) == {"", "json server", "json client", "json http"}


def test_the_close_codes_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d{4}) \| .* \| (yes|no) \|$", DOCUMENT, re.MULTILINE)
    documented = {int(code): come_back == "yes" for code, come_back in rows}
    assert documented.pop(1009) is False  # aiohttp's own
    assert documented == {int(code): code.come_back for code in CloseCode}
