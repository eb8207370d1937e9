import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import RequestError
from realtime_core.hub import commands, wire

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["sessionSlug", "since", "epoch", "token", "identity", "name", "timestamp", "x"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"type":"subscribe","sessionSlug":"weekly","since":7,"epoch":"b3","token":"t"}',
            commands.Subscribe(session_slug="weekly", since=7, epoch="b3", token="t"),
        ),
        (
            '{"type":"subscribe","sessionSlug":"weekly"}',
            commands.Subscribe(session_slug="weekly"),
        ),
        (
            '{"type":"start","sessionSlug":"weekly","language":"en","vocabulary":["Egress"]}',
            commands.Start(
                session_slug="weekly", options={"language": "en", "vocabulary": ["Egress"]}
            ),
        ),
        (
            '{"type":"stop","sessionSlug":"weekly","token":"t"}',
            commands.Stop(session_slug="weekly", token="t"),
        ),
        (
            '{"type":"active-speaker","identity":"alice:1","name":"Alice","timestamp":1.5}',
            commands.ActiveSpeaker(identity="alice:1", name="Alice", timestamp=1.5),
        ),
        ('{"type":"ping"}', commands.Ping()),
    ],
)
def test_each_kind_of_message_is_understood(text: str, expected: commands.AnyCommand) -> None:
    assert commands.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("", "malformed_json", None),
        ("{", "malformed_json", None),
        ('{"type":"ping"}}', "malformed_json", None),
        ("[" * 8000, "malformed_json", None),
        ('{"type":"ping","x":' + '{"a":' * 1500, "malformed_json", None),
        ("[]", "invalid_message", None),
        ("7", "invalid_message", None),
        ("{}", "unknown_type", "type"),
        ('{"type":"shout"}', "unknown_type", "type"),
        ('{"type":["ping"]}', "unknown_type", "type"),
        ('{"type":"ping","x":1}', "invalid_message", "x"),
        ('{"type":"subscribe"}', "invalid_message", "sessionSlug"),
        ('{"type":"subscribe","sessionSlug":7}', "invalid_message", "sessionSlug"),
        ('{"type":"subscribe","sessionSlug":"a b"}', "invalid_slug", "sessionSlug"),
        ('{"type":"subscribe","sessionSlug":"a","since":-1}', "invalid_message", "since"),
        ('{"type":"subscribe","sessionSlug":"a","since":1.5}', "invalid_message", "since"),
        ('{"type":"start","sessionSlug":"../etc"}', "invalid_slug", "sessionSlug"),
        ('{"type":"stop"}', "invalid_message", "sessionSlug"),
        ('{"type":"active-speaker","name":"A"}', "invalid_message", "identity"),
        ('{"type":"active-speaker","identity":"","name":"A"}', "invalid_message", "identity"),
        ('{"type":"active-speaker","identity":"a","name":5}', "invalid_message", "name"),
    ],
)
def test_rubbish_is_refused_by_name(text: str, code: str, field: str | None) -> None:
    with pytest.raises(RequestError) as caught:
        commands.parse(text)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, code, field)


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    with pytest.raises(RequestError):
        commands.parse(text)


@given(
    st.dictionaries(st.sampled_from(FIELDS), ANY_JSON),
    st.sampled_from([*commands.KINDS, "shout", 1]),
)
def test_no_message_raises_anything_else(fields: dict[str, object], kind: object) -> None:
    outcome: object
    try:
        outcome = type(commands.parse(json.dumps({"type": kind, **fields})))
    except RequestError as error:
        outcome = error.status
    assert outcome in (400, commands.KINDS.get(str(kind)))


def test_a_query_string_names_session_and_position() -> None:
    query = {"sessionSlug": "weekly", "since": "12", "epoch": "7", "token": "8", "utm": "proxy"}
    assert commands.parse_query(query) == commands.Subscribe(
        session_slug="weekly", since=12, epoch="7", token="8"
    )


def test_a_query_string_without_a_session_is_no_subscription() -> None:
    assert commands.parse_query({"since": "rubbish"}) is None


@pytest.mark.parametrize("query", [{"since": "x"}, {"since": "-1"}, {"sessionSlug": "%00"}])
def test_a_bad_query_string_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(RequestError) as caught:
        commands.parse_query({"sessionSlug": "weekly", **query})
    assert caught.value.field == next(iter(query))
    assert caught.value.code != wire.MALFORMED
