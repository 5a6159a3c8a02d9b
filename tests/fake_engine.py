"""An engine process that speaks the real protocol and loads nothing, for tests of what is around the engine.

A job's `prompt` scripts it, as JSON: `seconds` a stage takes (0), `stage` at which something happens, `what` happens
there (`die`, `fail`, `refuse`, if need be `after` some seconds, `hang`, `lack` memory, `break` the device, `silence`:
nothing is said, or `compute`: two seconds of it without a word), and `marker`, a file: with it, it happens only as long
as there are fewer than `times` (1) lines in the file, and each time adds one.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from pydantic import TypeAdapter

from whisperx_api.engine.protocol import (
    Attempt,
    CancelStage,
    EngineConfig,
    EngineReady,
    ModelsLoaded,
    RunStage,
    SegmentReady,
    Stage,
    StageCancelled,
    StageDone,
    StageFailed,
    StageProgress,
    to_engine,
)
from whisperx_api.engine.wire import Wire
from whisperx_api.engine.worker import ENGINE_STAGES, beat
from whisperx_api.lifeline import die_with_parent
from whisperx_api.transcript import (
    Alignment,
    Diarization,
    Segment,
    Speaker,
    Transcript,
    Transcription,
    Turn,
    Word,
    to_json,
)

STEPS = 10


def result(request: RunStage):
    audio = request.inputs.audio
    words = (Word("Hello", 0.0, 0.4, 0.9), Word("there.", 0.5, audio.duration, 0.8))
    segment = Segment(0.0, audio.duration, "Hello there.", words, avg_logprob=-0.25)
    if request.stage is Stage.TRANSCRIBE:
        return Transcription(request.options.language or "en", (Segment(0.0, audio.duration, "Hello there."),), "fake")
    if request.stage is Stage.ALIGN:
        return Alignment((segment,), "fake")
    if request.stage is Stage.DIARIZE:
        turn = Turn(0.0, audio.duration, "SPEAKER_00")
        names = {"SPEAKER_00": request.inputs.voices[0].name} if request.inputs.voices else {}
        return Diarization((turn,), (turn,), {"SPEAKER_00": (0.1, 0.2)}, "fake", names=names)
    embedding = (0.1, 0.2) if request.options.speaker_embeddings else None
    found = request.inputs.diarization
    name = found.names.get("SPEAKER_00") if found is not None else None
    speaker = Speaker("SPEAKER_00", audio.duration, name=name, embedding=embedding)
    assert request.inputs.transcription is not None
    language = request.inputs.transcription.language
    return Transcript(language, audio.duration, (segment,), (speaker,), {"transcribe": "fake"}, audio.warnings)


class FakeEngine:
    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.cancelled: set[tuple[Attempt, Stage]] = set()

    def serve(self, requests: queue.Queue[RunStage]) -> None:
        while True:
            request = requests.get()
            self.wire.send(self.answer(request))

    def answer(self, request: RunStage) -> StageDone | StageCancelled | StageFailed:
        script = json.loads(request.options.prompt or "{}")
        mishap = script.get("what") if script.get("stage") == request.stage.value and due(script) else None
        if mishap == "refuse":
            time.sleep(script.get("after", 0))
            return StageFailed(request.attempt, request.stage, "The model is out of reach.", retryable=False)
        for step in range(STEPS):
            if (request.attempt, request.stage) in self.cancelled:
                return StageCancelled(request.attempt, request.stage)
            self.wire.send(StageProgress(request.attempt, request.stage, step / STEPS))
            time.sleep(script.get("seconds", 0) / STEPS)
            if step == STEPS // 2 and mishap == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if step == STEPS // 2 and mishap == "hang":
                time.sleep(3600)
            if step == STEPS // 2 and mishap == "compute":
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    pass
            if step == STEPS // 2 and mishap == "lack":
                reason = "The device ran out of memory."
                return StageFailed(request.attempt, request.stage, reason, retryable=True, out_of_memory=True)
            if step == STEPS // 2 and mishap == "break":
                self.wire.send(StageFailed(request.attempt, request.stage, "CUDA error", retryable=True, fatal=True))
                os._exit(1)
            if step == STEPS // 2 and mishap == "fail":
                return StageFailed(request.attempt, request.stage, "The stage failed.", retryable=True)
        if request.stage is Stage.TRANSCRIBE:
            self.wire.send(SegmentReady(request.attempt, Segment(0.0, 1.0, "Hello there.")))
        self.wire.send(ModelsLoaded(("fake",), 1000))
        if mishap == "silence":
            return StageDone(request.attempt, request.stage, to_json(Transcription("en", (), "fake")).decode())
        return StageDone(request.attempt, request.stage, to_json(result(request)).decode())


def due(script: dict) -> bool:
    if "marker" not in script:
        return True
    marker = Path(script["marker"])
    happened = len(marker.read_text().splitlines()) if marker.exists() else 0
    if happened >= script.get("times", 1):
        return False
    with marker.open("a") as file:
        file.write("once\n")
    return True


def main(arguments: list[str]) -> int:
    die_with_parent(int(arguments[0]))
    wire = Wire(socket.socket(fileno=int(arguments[1])))
    config = TypeAdapter(EngineConfig).validate_json(wire.read() or b"")
    if config.align_model == "doomed":
        wire.send(StageFailed(Attempt("", 0), Stage.TRANSCRIBE, "The engine can't start.", retryable=False))
        return 1
    engine = FakeEngine(wire)
    requests: dict[Stage, queue.Queue[RunStage]] = {stage: queue.Queue() for stage in ENGINE_STAGES}
    for lane in requests.values():
        threading.Thread(target=engine.serve, args=(lane,), daemon=True).start()
    wire.send(EngineReady("cpu", "fake"))
    threading.Thread(target=beat, args=(wire,), daemon=True).start()
    while (body := wire.read()) is not None:
        message = to_engine.validate_json(body)
        if isinstance(message, CancelStage):
            engine.cancelled.add((message.attempt, message.stage))
        else:
            requests[message.stage].put(message)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
