import time
from typing import Any

import jwt
import pytest

from realtime_core.access import Gate, Role, TokenKeys, is_rtmp_key, rtmp_key
from realtime_core.errors import RequestError

SECRET = "a secret of thirty-two bytes or more"
LIVEKIT = "livekit's secret, also of thirty-two bytes"
GATE = Gate(TokenKeys(SECRET, "APIkey", LIVEKIT))
NOW = int(time.time())


def token(secret: str = SECRET, **claims: Any) -> str:
    base = {
        "sub": "alice",
        "name": "Alice",
        "session": "weekly",
        "role": "viewer",
        "exp": NOW + 3600,
    }
    present = {name: value for name, value in (base | claims).items() if value is not None}
    return jwt.encode(present, secret, algorithm="HS256")


def livekit_token(secret: str = LIVEKIT, video: Any = None, **grants: Any) -> str:
    video = video or {"room": "weekly", "roomJoin": True} | grants
    claims = {"iss": "APIkey", "sub": "bob", "name": "Bob", "exp": NOW + 3600, "video": video}
    return jwt.encode(claims, secret, algorithm="HS256")


def refusal(shown: str | None, slug: str = "weekly", role: Role = Role.VIEWER) -> int:
    with pytest.raises(RequestError) as caught:
        GATE.admit(shown, slug, role)
    return caught.value.status


def test_without_keys_anybody_may_do_anything() -> None:
    assert Gate(None).admit(None, "weekly", Role.HOST).may_speak_for("anybody:1")


def test_a_good_token_names_its_bearer() -> None:
    who = GATE.admit(token(), "weekly", Role.VIEWER)
    assert (who.sub, who.name, who.role) == ("alice", "Alice", Role.VIEWER)


def test_a_token_for_any_session_opens_each() -> None:
    assert GATE.admit(token(session="*"), "daily", Role.VIEWER).sub == "alice"


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "",
        "rubbish",
        token(exp=None),
        token(exp=NOW - 7200),
        token(role="king"),
        token(role=None),
        token(secret="another secret of thirty-two bytes!!"),
        jwt.encode({"session": "weekly", "role": "host", "exp": NOW + 3600}, "", algorithm="none"),
        token(nbf=NOW + 3600),
        livekit_token(roomJoin=False),
        livekit_token(room=""),
        livekit_token(room="*"),
        livekit_token(room=None),
        livekit_token(video="all"),
        token(session=None),
        livekit_token(canSubscribe=False),
        livekit_token(secret=SECRET),
    ],
)
def test_what_is_no_valid_token_is_unauthorised(bad: str | None) -> None:
    assert refusal(bad) == 401


def test_a_token_covers_its_session_and_its_role_only() -> None:
    assert refusal(token(), slug="other") == 403
    assert refusal(token(role="speaker"), role=Role.HOST) == 403


def test_a_livekit_token_of_the_room_opens_its_session() -> None:
    who = GATE.admit(livekit_token(), "weekly", Role.SPEAKER)
    assert who.sub == "bob"
    assert refusal(livekit_token(), role=Role.HOST) == 403
    admin = GATE.admit(livekit_token(roomAdmin=True), "weekly", Role.HOST)
    assert admin.role is Role.HOST
    assert refusal(livekit_token(room="other")) == 403


def test_a_speaker_speaks_for_itself_and_a_host_for_all() -> None:
    speaker = GATE.admit(token(role="speaker"), "weekly", Role.SPEAKER)
    assert speaker.may_speak_for("alice")
    assert speaker.may_speak_for("alice:tab-2")
    assert not speaker.may_speak_for("alicia:1")
    assert not speaker.may_speak_for("bob:1")
    assert GATE.admit(token(role="host"), "weekly", Role.HOST).may_speak_for("bob:1")


def test_a_token_that_names_nobody_speaks_for_nobody() -> None:
    speaker = GATE.admit(token(role="speaker", sub=None), "weekly", Role.SPEAKER)
    assert not speaker.may_speak_for("alice:1")


def test_a_speaker_is_shown_under_its_tokens_name_and_a_host_names_others() -> None:
    speaker = GATE.admit(token(role="speaker"), "weekly", Role.SPEAKER)
    assert speaker.name_for("The Boss") == "Alice"
    host = GATE.admit(token(role="host"), "weekly", Role.HOST)
    assert host.name_for("Bob") == "Bob"


def test_an_rtmp_key_opens_its_slug_only() -> None:
    key = rtmp_key(SECRET, "weekly")
    assert is_rtmp_key(SECRET, "weekly", key)
    assert not is_rtmp_key(SECRET, "daily", key)
    assert not is_rtmp_key(SECRET, "weekly", "")
    assert not is_rtmp_key(SECRET, "weekly", "ключ")
