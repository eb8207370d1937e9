from pathlib import Path

import pytest
from dotenv import dotenv_values

from realtime_core.errors import ConfigurationError
from realtime_core.settings import Settings, load

ROOT = Path(__file__).parent.parent
SECRET = "s" * 32


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def faults(**values: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(**values)
    return str(caught.value)


def test_the_example_lists_every_setting_with_its_default() -> None:
    example = dotenv_values(ROOT / ".env.example")
    assert [name.upper() for name in Settings.model_fields] == list(example)
    given = {name.lower(): value for name, value in example.items() if value}
    assert load(**given, gladia_api_key="k") == load(gladia_api_key="k")


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLADIA_API_KEY", "k")
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("GLADIA_LANGUAGES", "en, ru,")
    settings = load()
    assert settings.port == 9000
    assert settings.gladia_languages == ("en", "ru")


def test_all_faults_are_told_at_once_one_line_each() -> None:
    text = faults(host="0.0.0.0", port=99999, auth_secret="short", gladia_endpointing_s=99)
    named = [line.split(":")[0] for line in text.splitlines()]
    assert named == ["PORT", "GLADIA_ENDPOINTING_S", "AUTH_SECRET", "HOST", "GLADIA_API_KEY"]


def test_a_fault_does_not_show_the_value_of_a_secret() -> None:
    text = faults(auth_secret="hunter2", database_url="mysql://user:hunter2@host/db")
    assert "hunter2" not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_secret(host: str) -> None:
    assert not load(host=host, gladia_api_key="k").wants_tokens


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "captions.example.com"])
def test_an_open_address_needs_a_secret_or_a_loud_yes(host: str) -> None:
    assert "HOST" in faults(host=host, gladia_api_key="k")
    assert load(host=host, gladia_api_key="k", auth_secret=SECRET).wants_tokens
    assert not load(host=host, gladia_api_key="k", allow_anonymous=True).wants_tokens


def test_tokens_cannot_be_asked_for_without_a_key_to_check_them() -> None:
    assert "AUTH_MODE" in faults(auth_mode="token", gladia_api_key="k")
    assert "LIVEKIT_API_SECRET" in faults(livekit_api_key="k", gladia_api_key="k")


def test_gladia_needs_a_key_and_the_emulator_none() -> None:
    assert "GLADIA_API_KEY" in faults()
    load(gladia_api_url="http://127.0.0.1:8090")


def test_http_broadcasting_needs_the_internal_secret() -> None:
    assert "INTERNAL_SECRET" in faults(gladia_api_key="k", realtime_broadcast_mode="http")


@pytest.mark.parametrize(
    ("url", "stores"), [(None, True), ("none", False), ("postgres://h/d", True)]
)
def test_storage_is_switched_off_only_openly(url: str | None, stores: bool) -> None:
    assert load(gladia_api_key="k", database_url=url).stores is stores
