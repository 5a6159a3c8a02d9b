"""The Python client: upload a recording, wait for it, get the transcript. Needs httpx and nothing of the engine.

with Client("http://127.0.0.1:8000", api_key=KEY) as client:
    transcript = client.transcribe("call.mp3", language="en")
    print(transcript["text"])

async with AsyncClient("http://127.0.0.1:8000", api_key=KEY) as client:
    transcript = await client.transcribe("call.mp3", language="en")
"""

from whisperx_api.client.answers import (
    SegmentAnswer,
    SpeakerAnswer,
    TaskState,
    TaskStatus,
    TranscriptAnswer,
    UploadOptions,
    WordAnswer,
)
from whisperx_api.client.asynchronous import AsyncClient
from whisperx_api.client.errors import ApiError, ClientError, RecordingChanged, ServerUnreachable, TaskFailed
from whisperx_api.client.events import Ended, Progressed, SegmentHeard, TaskEvent
from whisperx_api.client.recordings import idempotency_key
from whisperx_api.client.retries import Retries
from whisperx_api.client.synchronous import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "Ended",
    "Progressed",
    "RecordingChanged",
    "Retries",
    "SegmentAnswer",
    "SegmentHeard",
    "ServerUnreachable",
    "SpeakerAnswer",
    "TaskEvent",
    "TaskFailed",
    "TaskState",
    "TaskStatus",
    "TranscriptAnswer",
    "UploadOptions",
    "WordAnswer",
    "idempotency_key",
]
