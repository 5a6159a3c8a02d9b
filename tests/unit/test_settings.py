"""Settings: what is read, what overrides what, and the one sentence for a wrong value."""

from __future__ import annotations

from pathlib import Path

import pytest

from whisperx_api.settings import Auth, Residency, SettingsError, load_settings


def test_defaults_are_those_of_the_documents() -> None:
    settings = load_settings()
    assert settings.whisper_model == "large-v2"
    assert settings.diarization_model == "pyannote/speaker-diarization-community-1"
    assert (settings.batch_size, settings.max_concurrent_tasks, settings.chunk_size_seconds) == (16, 2, 30)
    assert (settings.port, settings.max_file_size, settings.retention_hours) == (8000, 2 * 1024**3, 0)
    assert (settings.auth, settings.device, settings.compute_type) == (Auth.ON, "auto", None)
    assert settings.models == Path("data/models") and settings.uploads == Path("data/uploads")
    assert settings.database.startswith("sqlite+aiosqlite:////")


def test_flag_overrides_environment_and_environment_overrides_file(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1\nBATCH_SIZE=2\nCHUNK_SIZE_SECONDS=7\n")
    monkeypatch.setenv("PORT", "3")
    monkeypatch.setenv("BATCH_SIZE", "4")
    settings = load_settings(port=5, batch_size=None)
    assert (settings.port, settings.batch_size, settings.chunk_size_seconds) == (5, 4, 7)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("2G", 2 * 1024**3), ("1.5M", 3 * 512 * 1024), ("10 KiB", 10240), ("1gb", 1024**3)],
)
def test_sizes_take_letters(monkeypatch, text, size) -> None:
    monkeypatch.setenv("MAX_FILE_SIZE", text)
    assert load_settings().max_file_size == size


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"), ("PORT", "70000"), ("BATCH_SIZE", "0"), ("CHUNK_SIZE_SECONDS", "31"),
        ("MAX_FILE_SIZE", "much"), ("DEVICE", "tpu"), ("DEVICE", "cuda:0,cuda:0"), ("DEVICE", "cpu,cuda:1"),
        ("COMPUTE_TYPE", "float8"), ("LOG_LEVEL", "loud"), ("ROOT_PATH", "asr"), ("AUTH", "maybe"),
        ("MODEL_RESIDENCY", "sometimes"), ("WHISPER_MODEL", "huge"), ("RETENTION_HOURS", "-1"),
        ("MAX_CONCURRENT_TASKS", "0"), ("WHISPER_AUTO_DOWNLOAD", "perhaps"), ("LOG_FORMAT", "xml"),
        ("ALLOWED_ORIGINS", "example.com"), ("ALLOWED_ORIGINS", "https://a.example/path"),
        ("ALLOWED_ORIGINS", "https://*.example.com"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("STORAGE_URL", "/mnt/shared"), ("STORAGE_URL", "s3://"), ("STORAGE_URL", "file://host/folder"),
        ("STORAGE_URL", "gs://bucket"),
    ],
)  # fmt: skip
def test_wrong_value_is_one_sentence_that_names_it(monkeypatch, name, value) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    sentence = str(caught.value)
    assert sentence.startswith(f"{name}={value} can't be used: ") and "\n" not in sentence


@pytest.mark.parametrize("value", ["a:b:c:d", "x:", "na me:key", "bob:key:sing"])
def test_wrong_key_is_named_without_being_shown(monkeypatch, value) -> None:
    monkeypatch.setenv("API_KEYS", f"ann:s3cret,{value}")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith("API_KEYS can't be used: it must ")
    assert "s3cret" not in str(caught.value)


def test_lists_and_devices_are_read(monkeypatch) -> None:
    monkeypatch.setenv("API_KEYS", " ann:k1 , k2,")
    monkeypatch.setenv("DEVICE", "cuda:0, CUDA:1")
    monkeypatch.setenv("MODEL_RESIDENCY", "release")
    settings = load_settings()
    assert settings.api_keys == ("ann:k1", "k2")
    assert settings.devices == ("cuda:0", "cuda:1")
    assert settings.model_residency is Residency.RELEASE


@pytest.mark.parametrize(("text", "auth"), [("off", Auth.OFF), ("false", Auth.OFF), ("ON", Auth.ON), ("true", Auth.ON)])
def test_auth_is_read_in_the_usual_spellings(monkeypatch, text, auth) -> None:
    monkeypatch.setenv("AUTH", text)
    assert load_settings().auth is auth


@pytest.mark.parametrize("model", ["large-v3", "starter", "someone/whisper-ct2"])
def test_whisper_model_takes_sizes_ids_and_starter(monkeypatch, model) -> None:
    monkeypatch.setenv("WHISPER_MODEL", model)
    assert load_settings().whisper_model == model


def test_whisper_model_takes_a_folder(tmp_path: Path) -> None:
    assert load_settings(whisper_model=str(tmp_path)).whisper_model == str(tmp_path)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://my.bucket-1/some/prefix/", "file:///mnt/shared%20folder"])
def test_storage_is_a_bucket_or_a_folder(monkeypatch, url) -> None:
    monkeypatch.setenv("STORAGE_URL", url)
    assert load_settings().storage_url == url
    monkeypatch.setenv("STORAGE_URL", "")
    assert load_settings().storage_url is None


def test_wrong_url_with_a_password_is_named_without_being_shown(monkeypatch) -> None:
    monkeypatch.setenv("STORAGE_URL", "s3://key:s3cret@bucket")
    with pytest.raises(SettingsError, match=r"^STORAGE_URL can't be used: ") as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)
