"""An engine process that speaks the real protocol and loads nothing, for tests of what is around the engine.

A job's `prompt` scripts it, as JSON: `seconds` a stage takes (0), `stage` at which something happens, `what` happens
there (`die`, `fail`, `refuse`, if need be `after` some seconds, `hang`, `lack` memory, `break` the device, `silence`:
nothing is said, `compute`: four seconds of it without a word, or `halve`: a batch does not fit), and `marker`, a file:
with it, it happens only as long as there are fewer than `times` (1) lines in the file, and each time adds one. With
`pieces` the text comes in two; `text` is what is said in place of the usual.

ALIGN_MODEL scripts the process: `doomed` does not start, `faulty` can't load a model until a task has come.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from whisperx_api import log
from whisperx_api.engine.protocol import (
    Attempt,
    CancelStage,
    EngineConfig,
    EngineReady,
    MemoryShort,
    ModelFault,
    ModelsLoaded,
    ModelsUnloaded,
    Retry,
    RunStage,
    SegmentReady,
    Stage,
    StageCancelled,
    StageDone,
    StageFailed,
    StageProgress,
    UnloadModels,
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
    TokenLogprob,
    Transcript,
    Transcription,
    Turn,
    Waveform,
    Word,
    to_json,
)

logger = logging.getLogger("whisperx_api.fake_engine")

STEPS = 10
SAID = Segment(
    0.0, 1.0, "Hello there.", avg_logprob=-0.25, no_speech_prob=0.01, compression_ratio=0.8, temperature=0.0, seek=0,
    tokens=(1, 2, 3), token_starts=(0, 5, 11),
    logprobs=(TokenLogprob(b"Hello".hex(), -0.1), TokenLogprob(b" there".hex(), -0.2), TokenLogprob("e2", -0.3)),
)  # fmt: skip


def result(request: RunStage):
    audio = request.inputs.audio
    words = (Word("Hello", 0.0, 0.4, 0.9), Word("there.", 0.5, audio.duration, 0.8))
    said = replace(SAID, text=script_of(request.options.prompt).get("text", SAID.text))
    said = said if request.options.token_logprobs else replace(said, logprobs=())
    who = "SPEAKER_00" if request.inputs.diarization is not None else None
    words = tuple(replace(word, speaker=who) for word in words)
    segment = replace(said, end=audio.duration, words=words, speaker=who)
    if request.stage is Stage.TRANSCRIBE:
        return Transcription(request.options.language or "en", (replace(said, end=audio.duration),), "fake")
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
    waveform = Waveform(audio.samples, "gX8=")  # one pixel, of full scale
    return Transcript(
        language, audio.duration, (segment,), (speaker,), {"transcribe": "fake"}, audio.warnings, waveform
    )


class FakeEngine:
    def __init__(self, wire: Wire, config: EngineConfig) -> None:
        self.wire = wire
        self.model = config.whisper_model
        self.loaded: dict[str, int] = {}
        """How many stages use each model; what it loads is names alone."""
        self.leaving: set[str] = set()
        self.cancelled: set[tuple[Attempt, Stage]] = set()

    def serve(self, requests: queue.Queue[RunStage]) -> None:
        while True:
            request = requests.get()
            with log.about(task_id=request.attempt.task_id):
                logger.info("%s is asked for", request.stage.value)
            self.wire.send(ModelFault(Stage.TRANSCRIBE, None))
            model = f"transcribe:{request.options.model or self.model}" if request.stage is Stage.TRANSCRIBE else "fake"
            self.use(model, +1)
            answer = self.answer(request)
            self.use(model, -1)
            self.wire.send(answer)

    def use(self, model: str, change: int) -> None:
        self.loaded[model] = self.loaded.get(model, 0) + change
        if model in self.leaving and not self.loaded[model]:
            self.leaving.remove(model)
            del self.loaded[model]
        self.wire.send(ModelsLoaded(tuple(self.loaded), 1000))

    def unload(self, models: tuple[str, ...]) -> None:
        in_use = tuple(model for model in models if self.loaded.get(model))
        gone = tuple(model for model in models if model not in in_use)
        self.leaving.update(in_use)
        for model in gone:
            self.loaded.pop(model, None)
        self.wire.send(ModelsLoaded(tuple(self.loaded), 1000))
        self.wire.send(ModelsUnloaded(gone, in_use))

    def answer(self, request: RunStage) -> StageDone | StageCancelled | StageFailed:
        script = script_of(request.options.prompt)
        mishap = script.get("what") if script.get("stage") == request.stage.value and due(script) else None
        if mishap == "refuse":
            time.sleep(script.get("after", 0))
            return StageFailed(request.attempt, request.stage, "The model is out of reach.", retryable=False)
        for step in range(STEPS):
            if (request.attempt, request.stage) in self.cancelled:
                return StageCancelled(request.attempt, request.stage)
            self.wire.send(StageProgress(request.attempt, request.stage, step / STEPS))
            time.sleep(script.get("seconds", 0) / STEPS)
            if step == STEPS // 2 and request.stage is Stage.TRANSCRIBE and script.get("pieces"):
                self.wire.send(SegmentReady(request.attempt, Segment(0.0, 0.5, "Hello", language="en")))
            if step == STEPS // 2 and mishap == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if step == STEPS // 2 and mishap == "hang":
                time.sleep(3600)
            if step == STEPS // 2 and mishap == "compute":
                end = time.monotonic() + 4
                while time.monotonic() < end:
                    pass
            if step == STEPS // 2 and mishap == "lack":
                reason = "The device ran out of memory."
                return StageFailed(request.attempt, request.stage, reason, retryable=True, out_of_memory=True)
            if step == STEPS // 2 and mishap == "break":
                self.wire.send(StageFailed(request.attempt, request.stage, "CUDA error", retryable=True, fatal=True))
                os._exit(1)
            if step == STEPS // 2 and mishap == "halve":
                self.wire.send(MemoryShort(Retry.BATCH))
            if step == STEPS // 2 and mishap == "fail":
                return StageFailed(request.attempt, request.stage, "The stage failed.", retryable=True)
        if request.stage is Stage.TRANSCRIBE:
            whole = replace(SAID, text=script.get("text", SAID.text), language="en")
            last = Segment(0.5, 1.0, "there.", language="en") if script.get("pieces") else whole
            self.wire.send(SegmentReady(request.attempt, last))
        if mishap == "silence":
            return StageDone(request.attempt, request.stage, to_json(Transcription("en", (), "fake")).decode())
        return StageDone(request.attempt, request.stage, to_json(result(request)).decode())


def script_of(prompt: str | None) -> dict:
    """Return the script that a prompt is; one that is no JSON object asks for nothing."""
    try:
        script = json.loads(prompt or "{}")
    except ValueError:
        return {}
    return script if isinstance(script, dict) else {}


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
    log.configure(config.log_level, config.log_format, process="engine")
    engine = FakeEngine(wire, config)
    requests: dict[Stage, queue.Queue[RunStage]] = {stage: queue.Queue() for stage in ENGINE_STAGES}
    for lane in requests.values():
        threading.Thread(target=engine.serve, args=(lane,), daemon=True).start()
    wire.send(EngineReady("cpu", "fake", 2000))
    if config.align_model == "faulty":
        wire.send(ModelFault(Stage.TRANSCRIBE, "The model can't be loaded."))
    threading.Thread(target=beat, args=(wire,), daemon=True).start()
    while (body := wire.read()) is not None:
        message = to_engine.validate_json(body)
        if isinstance(message, CancelStage):
            engine.cancelled.add((message.attempt, message.stage))
        elif isinstance(message, UnloadModels):
            engine.unload(message.models)
        else:
            requests[message.stage].put(message)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
