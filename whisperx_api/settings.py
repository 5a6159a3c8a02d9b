"""Every setting of the service: name, type, default and one line of meaning.

A setting is an environment variable of the same name in capitals, also read from a file `.env`; `whisperx-api serve`
takes each as a flag that overrides both. Nothing else reads a setting from the environment.
"""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from whisperx_api.errors import StartError
from whisperx_api.failures import FailureRate
from whisperx_api.keys import parse_key
from whisperx_api.log import LogFormat
from whisperx_api.models.catalog import TRANSCRIPTION_MODELS
from whisperx_api.options import DiarizationMode
from whisperx_api.outgoing.addresses import Allowed
from whisperx_api.proxies import Proxies
from whisperx_api.rates import parse_rate
from whisperx_api.validation import what_is_wrong

GIB = 1024**3

COMPUTE_TYPES = (
    "default", "auto", "int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16",
    "float32",
)  # fmt: skip
"""What ctranslate2 can compute in."""


MODEL_NAMES = f"one of {', '.join(TRANSCRIPTION_MODELS)}, starter, a Hugging Face id or a folder"
"""What a transcription model may be called in a setting."""


class SettingsError(StartError):
    """A setting has a value that can't be used. The message is one sentence that names it."""


class Residency(str, Enum):
    """When a model leaves the device: after its stage, when room is needed, or only when idle."""

    RELEASE = "release"
    AUTO = "auto"
    KEEP = "keep"


class Queue(str, Enum):
    """Where jobs wait: in the server that runs them, or in PostgreSQL for workers on any host."""

    EMBEDDED = "embedded"
    PROCRASTINATE = "procrastinate"


class Auth(str, Enum):
    """Whether requests need a key."""

    ON = "on"
    OFF = "off"


Names = Annotated[tuple[str, ...], NoDecode]
"""A list written with commas between its parts."""


class Settings(BaseSettings):
    """The service's configuration, checked as a whole when it is made."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, populate_by_name=True)

    # --- who may call ---
    api_keys: Names = Field(
        (),
        description="Keys that may call, as KEY or NAME:KEY or NAME:KEY:SCOPES (scopes transcribe, read, admin, "
        "joined by +; all of them if left out), separated by commas. Jobs belong to the name. With no key set, the "
        "first start makes one and writes it to DATA_DIR/api_key.",
    )
    api_key: str | None = Field(None, description="One more key, named default.")
    auth: Auth = Field(Auth.ON, description="off lets everybody call without a key.")
    hf_token: str | None = Field(None, description="Hugging Face token, for diarization models behind terms of use.")
    rate_limits: Names = Field(
        (),
        description="Most submissions of each key, like 10/minute,50/hour or 5 per 30 seconds; all of them hold; none "
        "if left out.",
    )
    rate_limit_storage: str = Field(
        "memory://",
        description="Where submissions are counted: memory://, or redis://HOST:PORT/DB for several servers together.",
    )
    auth_failures: str = Field(
        "20/minute",
        description="Most wrong keys from one address, beyond which it is refused for a while; empty: no limit.",
    )
    trusted_proxies: Names = Field(
        (),
        description="Addresses and networks of the reverse proxies whose X-Forwarded-For and X-Forwarded-Proto count, "
        "like 10.0.0.0/8,::1; none if left out.",
    )

    # --- models ---
    whisper_model: str = Field(
        "large-v2",
        description="Transcription model: a size (tiny … large-v3, turbo, distil-large-v3, base.en …), a "
        "Hugging Face id, a folder, or starter.",
    )
    whisper_model_alias: Names = Field((), description="Further names by which requests may call WHISPER_MODEL.")
    allowed_models: Names = Field(
        (),
        description="Transcription models that requests may name besides WHISPER_MODEL: sizes, Hugging Face ids, "
        "folders, starter, separated by commas; every size and starter if left out.",
    )
    whisper_auto_download: bool = Field(
        True, description="Fetch a model when it is first needed; false: only models that are already here."
    )
    align_model: str = Field(
        "auto",
        description="Alignment model: auto (the language's own), a torchaudio bundle, a Hugging Face id, a "
        "folder, or attention (Whisper's cross-attention only, no further model).",
    )
    diarization_model: str = Field(
        "pyannote/speaker-diarization-community-1",
        description="Diarization pipeline: a Hugging Face id, a folder, or starter.",
    )
    diarization_mode: DiarizationMode | None = Field(
        None,
        description="exact: the turns that pyannote finds; fast: nearly the same turns, each moment's voice "
        "computed once; if left out, fast for starter and exact for any other.",
    )
    model_dir: Path | None = Field(None, description="Where models are kept; DATA_DIR/models if left out.")
    model_residency: Residency = Field(
        Residency.AUTO,
        description="release: free each stage's model before the next loads; auto: keep what fits the "
        "device's free memory; keep: free nothing until idle.",
    )
    model_preload: bool = Field(
        False,
        description="Load the models for transcription and diarization when an engine starts, not with its first task.",
    )
    model_unload_idle_minutes: float = Field(
        30, ge=0, description="Give the device back after so many minutes without work; 0: never."
    )

    # --- device ---
    device: str = Field("auto", description="auto, cpu, cuda, or devices separated by commas: cuda:0,cuda:1.")
    compute_type: str | None = Field(
        None, description=f"ctranslate2 type: {', '.join(COMPUTE_TYPES)}; float16 on CUDA and int8 on CPU if left out."
    )
    batch_size: int = Field(16, ge=1, le=256, description="Chunks decoded at once.")
    chunk_size_seconds: int = Field(30, ge=5, le=30, description="Longest stretch of speech decoded as one chunk.")
    cpu_threads: int = Field(0, ge=0, description="Threads that the engine computes with; 0: one a core.")

    # --- jobs ---
    max_concurrent_tasks: int = Field(2, ge=1, le=64, description="Jobs in work at once.")
    max_queue: int = Field(
        10_000, ge=1, le=1_000_000, description="Most tasks that may wait; further uploads get 503 with Retry-After."
    )
    max_queue_per_key: int = Field(
        1000, ge=1, le=1_000_000, description="Most tasks of one key that may wait; it then gets 429 with Retry-After."
    )
    max_file_size: int = Field(2 * GIB, ge=1, description="Largest upload in bytes; K, M, G and T may follow.")
    max_duration_hours: float = Field(24, gt=0, le=1000, description="Longest recording that is taken.")
    retention_hours: float = Field(0, ge=0, description="Delete finished tasks after so many hours; 0: keep them.")
    result_cache: bool = Field(
        True,
        description="Give the same recording with the same options and models the transcript that is there, or have it "
        "follow the task that is making it.",
    )
    result_cache_shared: bool = Field(
        False, description="Do so between tasks of different keys too; false: only between those of one key."
    )
    result_cache_size: int = Field(
        GIB,
        ge=0,
        description="Most bytes of transcripts that are given out again, those used last; K, M, G and T may follow.",
    )
    decode_timeout_seconds: float = Field(3600, gt=0, description="Longest time that decoding one file may take.")
    shutdown_grace_seconds: float = Field(
        8, ge=0, description="On SIGTERM, wait so long for the stages at work; the rest goes on at the next start."
    )

    # --- several hosts ---
    queue: Queue = Field(
        Queue.EMBEDDED,
        description="embedded: one server runs its own tasks; procrastinate: servers take tasks in, and `whisperx-api "
        "worker` on any host runs them; needs PostgreSQL as DATABASE_URL, and STORAGE_URL.",
    )
    worker_queues: Names = Field(
        (),
        description="Queues of which a worker takes tasks, each MODEL, MODEL:LANGUAGE or *:LANGUAGE; * stands for "
        "anything, and auto for a language that is to be found; all if left out.",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port on which a worker answers /health, /ready and /metrics; one of its own choice on "
        "127.0.0.1 if left out.",
    )

    # --- calls to elsewhere ---
    outgoing_allow: Names = Field(
        (),
        description="Addresses, networks and host names that webhooks and url may lead to although they are private, "
        "like 127.0.0.1,10.0.0.0/8,intranet.example; what is on the public internet needs no entry.",
    )
    webhook_retry_seconds: float = Field(
        10, gt=0, le=3600, description="Pause after a webhook's first failure; each further one is three times as long."
    )
    url_input: bool = Field(False, description="Let an upload name a url, from which the recording is fetched.")
    url_timeout_seconds: float = Field(600, gt=0, description="Longest time that fetching one recording may take.")

    # --- where things are ---
    data_dir: Path = Field(Path("data"), description="Database, results and keys.")
    upload_dir: Path | None = Field(None, description="Where recordings are kept; DATA_DIR/uploads if left out.")
    database_url: str | None = Field(
        None,
        description="PostgreSQL, like postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, or another SQLAlchemy URL; "
        "SQLite in DATA_DIR if left out.",
    )
    storage_url: str | None = Field(
        None,
        description="Where several servers keep recordings and transcripts: s3://BUCKET/PREFIX (needs the extra "
        "cluster; AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and so on say how it is reached), or file:///FOLDER, which all "
        "of them mount; DATA_DIR and UPLOAD_DIR if left out.",
    )

    # --- server ---
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    max_connections: int = Field(
        1000, ge=8, le=1_000_000, description="Most connections at once; beyond, the one that has rested longest goes."
    )
    max_uploads: int = Field(
        32, ge=1, le=10_000, description="Most uploads on their way at once; further ones get 503 with Retry-After."
    )
    upload_idle_seconds: float = Field(
        30, gt=0, description="Break off an upload of which less than 1 KiB comes in so many seconds, with 408."
    )
    upload_timeout_seconds: float = Field(
        14_400, gt=0, description="Break off an upload that takes longer than so many seconds, with 408."
    )
    root_path: str = Field("", description="Path under which a reverse proxy serves this service, like /asr.")
    keep_alive_seconds: float = Field(
        20, gt=0, description="How often a caller who waits for an answer under /v1/audio gets a sign of life."
    )
    allowed_origins: Names = Field(
        (),
        description="Origins whose pages may call this service from a browser, like https://app.example.com, separated "
        "by commas; * for all; none if left out.",
    )
    log_level: str = Field("info", description="debug, info, warning, error or critical.")
    log_format: LogFormat = Field(
        LogFormat.TEXT, description="text, for people; json, one object a line, for what collects logs."
    )
    debug: bool = Field(False, description="Log at debug level and show SQL.")
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        description="OpenTelemetry collector that traces go to, like http://127.0.0.1:4318; needs the extra otel; no "
        "traces if left out.",
    )

    @field_validator(
        "api_keys",
        "whisper_model_alias",
        "allowed_models",
        "rate_limits",
        "outgoing_allow",
        "trusted_proxies",
        "allowed_origins",
        "worker_queues",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator(
        "api_key",
        "hf_token",
        "diarization_mode",
        "compute_type",
        "model_dir",
        "upload_dir",
        "database_url",
        "storage_url",
        "otel_exporter_otlp_endpoint",
        "metrics_port",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str | None) -> str | None:
        """Name the driver, which other services' URLs leave out."""
        return None if value is None else re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", value.strip())

    @field_validator("max_file_size", "result_cache_size", mode="before")
    @classmethod
    def _bytes(cls, value: Any) -> Any:
        if isinstance(value, str) and (size := re.fullmatch(r"\s*([\d.]+)\s*([KMGT])I?B?\s*", value, re.IGNORECASE)):
            return int(float(size[1]) * 1024 ** (" KMGT".index(size[2].upper())))
        if isinstance(value, str) and not value.strip().isdecimal():
            raise ValueError("must be a number of bytes, like 500M or 2G")
        return value

    @field_validator("auth", mode="before")
    @classmethod
    def _auth(cls, value: Any) -> Any:
        words = {"true": "on", "1": "on", "yes": "on", "false": "off", "0": "off", "no": "off"}
        return value if isinstance(value, Auth) else words.get(str(value).lower(), str(value).lower())

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        names = [name.strip().lower() for name in value.split(",")]
        if not all(re.fullmatch(r"auto|cpu|cuda(:\d+)?", name) for name in names):
            raise ValueError("must be auto, cpu, cuda, or a list like cuda:0,cuda:1")
        if len(names) != len(set(names)) or (len(names) > 1 and not all(":" in name for name in names)):
            raise ValueError("may list each device once, like cuda:0,cuda:1")
        return ",".join(names)

    @field_validator("compute_type")
    @classmethod
    def _compute_type(cls, value: str | None) -> str | None:
        if value is not None and value not in COMPUTE_TYPES:
            raise ValueError(f"must be one of {', '.join(COMPUTE_TYPES)}")
        return value

    @field_validator("log_level")
    @classmethod
    def _log_level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error", "critical"):
            raise ValueError("must be debug, info, warning, error or critical")
        return value.lower()

    @field_validator("root_path")
    @classmethod
    def _root_path(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError("must start with /")
        return value.rstrip("/")

    @field_validator("whisper_model", "align_model", "diarization_model")
    @classmethod
    def _folder(cls, value: str) -> str:
        if not value.startswith(("/", "./", "../", "~")):
            return value
        if not (folder := Path(value).expanduser()).is_dir():
            raise ValueError("names a folder that is not there")
        return str(folder)

    @field_validator("whisper_model")
    @classmethod
    def _whisper_model(cls, value: str) -> str:
        if not _can_name_a_model(value):
            raise ValueError(f"must be {MODEL_NAMES}")
        return value

    @field_validator("allowed_models")
    @classmethod
    def _allowed_models(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        value = tuple(map(cls._folder, value))
        if wrong := [name for name in value if not _can_name_a_model(name)]:
            raise ValueError(f"must list models, each {MODEL_NAMES}; '{wrong[0]}' is none")
        return value

    @field_validator("rate_limits")
    @classmethod
    def _rate_limits(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            parse_rate(text)
        return value

    @field_validator("rate_limit_storage")
    @classmethod
    def _rate_limit_storage(cls, value: str) -> str:
        host = r"([^@/\s]*@)?([^@:/\s]+|\[[0-9A-Fa-f:]+\])(:\d+)?"
        if not re.fullmatch(rf"memory://|rediss?://{host}(/\d*)?(\?\S*)?|redis\+unix:///\S+", value):
            raise ValueError("must be memory:// or redis://HOST:PORT/DB")
        return value

    @field_validator("api_keys")
    @classmethod
    def _keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, entry in enumerate(value, start=1):
            try:
                parse_key(entry)
            except ValueError as error:
                raise ValueError(f"{error} (entry {number})") from None
        return value

    @field_validator("auth_failures")
    @classmethod
    def _auth_failures(cls, value: str) -> str:
        if value.strip():
            FailureRate.read(value)
        return value.strip()

    @field_validator("trusted_proxies")
    @classmethod
    def _trusted_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Proxies.read(value)
        return value

    @field_validator("outgoing_allow")
    @classmethod
    def _outgoing_allow(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Allowed.read(value)
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _allowed_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(origin.rstrip("/") for origin in value)
        if wrong := [one for one in origins if not re.fullmatch(r"\*|[a-z][a-z0-9+.-]*://[^/\s?#@*]+", one)]:
            raise ValueError(f"must list origins like https://app.example.com, or be *; '{wrong[0]}' is none")
        return origins

    @field_validator("storage_url")
    @classmethod
    def _storage_url(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(
            r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9](/[^\s?#]*)?|file:///[^\s?#]+", value
        ):
            raise ValueError("must be s3://BUCKET/PREFIX or file:///FOLDER")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _otel_exporter_otlp_endpoint(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/\s?#]+(/[^\s?#]*)?", value):
            raise ValueError("must be a URL like http://127.0.0.1:4318")
        return value

    @property
    def logging_level(self) -> str:
        """What is logged: `log_level`, or everything in debug mode."""
        return "debug" if self.debug else self.log_level

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices to run an engine on."""
        return tuple(self.device.split(","))

    @property
    def models(self) -> Path:
        """Where models are kept."""
        return self.model_dir or self.data_dir / "models"

    @property
    def uploads(self) -> Path:
        """Where recordings are kept."""
        return self.upload_dir or self.data_dir / "uploads"

    @property
    def database_file(self) -> Path:
        """The file of the database that is used where no other is named."""
        return (self.data_dir / "whisperx-api.db").resolve()

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite+aiosqlite:///{self.database_file}"


def _can_name_a_model(name: str) -> bool:
    return "/" in name or name == "starter" or name in TRANSCRIPTION_MODELS or Path(name).is_dir()


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` (flags of the command line) come before the environment.

    Raises `SettingsError` with one sentence that names the first setting that is wrong.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        secret = name in ("API_KEYS", "API_KEY", "HF_TOKEN", "RATE_LIMIT_STORAGE") or "@" in str(first["input"])
        given = "" if secret else f"={first['input']!s}"
        raise SettingsError(f"{name}{given} can't be used: it {what_is_wrong(first)}.") from None
