"""The engine process: holds the models of one device and runs the stages that the server sends.

It is started by `engine.process` with the server's process id and a socket, and ends with either. The main thread
listens, so that a cancel is heard while a stage computes in the other thread.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import sys
import threading
import time
import traceback

from pydantic import TypeAdapter

from whisperx_api import log, telemetry
from whisperx_api.engine.deferral import deferred
from whisperx_api.engine.first_text import FirstTexts
from whisperx_api.engine.model_faults import ModelFaults
from whisperx_api.engine.protocol import (
    WAITING,
    Attempt,
    CancelStage,
    EngineConfig,
    Heartbeat,
    MemoryShort,
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
from whisperx_api.errors import DeviceUnavailable
from whisperx_api.lifeline import die_with_parent, let_others_go_first
from whisperx_api.models.errors import ModelUnavailable
from whisperx_api.transcript import Segment, to_json

logger = logging.getLogger(__name__)

ENGINE_STAGES = (Stage.TRANSCRIBE, Stage.ALIGN, Stage.DIARIZE, Stage.ASSIGN)
"""What is run here; the recording is decoded in a process of its own."""
MODEL_KINDS = {"transcribe": "transcription", "align": "alignment", "diarize": "diarization"}
"""What models are for, by how their names begin in the pool."""
DEVICE_LOST = ("CUDA error", "CUDA failed with error")
"""How torch and ctranslate2 begin what they say of a device that fails: from then on it fails for this process."""
RELOAD_SECONDS = 60.0
"""How often a model of the settings that can't be loaded is tried again, while no task needs it that would try."""
HEARTBEAT_SECONDS = 5.0
NICENESS = 10
"""The engine computes at a lower priority than the server answers."""


class StageStopped(Exception):
    """The stage was cancelled; raised from inside its progress report."""


class Engine:
    """Runs stages: one of each kind at a time, each kind in a thread of its own."""

    def __init__(self, config: EngineConfig, wire: Wire) -> None:
        # The libraries take seconds to import, so that happens here and not for whoever imports this module.
        # torch comes first: it brings the CUDA libraries that ctranslate2 then finds loaded.
        import torch

        with deferred():
            from whisperx_api.engine.device import check_compute_type, choose_device, cores, describe
            from whisperx_api.engine.memory import DeviceMemory
            from whisperx_api.engine.models import EngineModels
            from whisperx_api.engine.pool import ModelPool
            from whisperx_api.pipeline.run import Decoding

        log.quieten()
        self.device = choose_device(config.device)
        check_compute_type(self.device, config.compute_type)
        self.ready = describe(self.device)
        # A CPU is shared out over threads that compute apart, with one thread of the library each.
        torch.set_num_threads(1 if self.device == "cpu" else config.threads or max(1, cores() // 2))
        self._wire = wire
        self._preload = config.preload and config.residency != "release"
        self._decoding = Decoding(config.batch_size, config.chunk_size)
        self._pool = ModelPool(
            config.residency, DeviceMemory(self.device), self._models_changed, self._loading, self._waiting
        )
        self._models = EngineModels(config, self.device, self._pool)
        self._cancelled: set[tuple[Attempt, Stage]] = set()
        self._at_work = threading.local()
        self._faults = ModelFaults(wire.send)
        self._first_texts = FirstTexts()

    def expect(self, request: RunStage) -> None:
        """Hear of a request before it is run."""
        if request.stage is Stage.TRANSCRIBE and self.device == "cpu":
            self._first_texts.expect(request.attempt)

    def cancel(self, attempt: Attempt, stage: Stage) -> None:
        """Have a stage stop at its next report."""
        self._cancelled.add((attempt, stage))

    def unload(self, names: tuple[str, ...]) -> None:
        """Let models go, now or when the stages that need them are done, and say which."""
        self._wire.send(ModelsUnloaded(*self._pool.unload(names)))

    def serve(self, stage: Stage, requests: queue.Queue[RunStage]) -> None:
        """Run requests of one kind as they come, for ever."""
        from whisperx_api.pipeline.out_of_memory import on_halved

        on_halved.set(lambda: self._wire.send(MemoryShort(Retry.BATCH)))
        if self._preload:
            self._load_ahead(stage)
        while True:
            try:
                request = requests.get(timeout=RELOAD_SECONDS if stage in self._faults else None)
            except queue.Empty:
                self._load_ahead(stage)
                continue
            self._at_work.request = request
            with log.about(task_id=request.attempt.task_id):
                answer = self._answer(request)
            if stage is Stage.TRANSCRIBE:
                self._first_texts.came(request.attempt)
            self._at_work.request = None
            self._pool.measure()
            self._pool.settle()
            self._cancelled.discard((request.attempt, request.stage))
            self._wire.send(answer)
            if isinstance(answer, StageFailed) and answer.fatal:
                os._exit(1)  # a CUDA context that has failed once fails for ever; a new process has a new one

    def _load_ahead(self, stage: Stage) -> None:
        """Load what every task needs. What can't be loaded is said in the log here, and to the task that needs it."""
        try:
            if stage is Stage.TRANSCRIBE:
                self._models.transcriber(None)
            elif stage is Stage.DIARIZE:
                self._models.diarizer()
            self._faults.note(stage, None)
        except Exception as error:
            if stage not in self._faults:  # else it has been said
                logger.warning("a model can't be loaded ahead: %s", explain(error))
            self._faults.note(stage, explain(error))
        self._pool.settle()

    def _answer(self, request: RunStage) -> StageDone | StageFailed | StageCancelled:
        while True:
            self._at_work.loading = False
            try:
                result = self._run(request)
                self._faults.note_of(request, None)
                return StageDone(request.attempt, request.stage, result)
            except StageStopped:
                return StageCancelled(request.attempt, request.stage)
            except ModelUnavailable as error:
                self._faults.note_of(request, str(error))
                return StageFailed(request.attempt, request.stage, str(error), retryable=False)
            except Exception as error:
                task, stage, trace = request.attempt.task_id, request.stage.value, traceback.format_exc()
                failed = self._failed(request, error)
            if failed.out_of_memory and self._pool.release_unused():
                logger.warning("task %s: %s is run again without the models that it does not need", task, stage)
                self._wire.send(MemoryShort(Retry.WITHOUT_MODELS))
                continue
            if self._at_work.loading and not failed.out_of_memory:
                self._faults.note_of(request, failed.reason)
            logger.error("task %s: %s failed\n%s", task, stage, trace)
            return failed

    def _failed(self, request: RunStage, error: Exception) -> StageFailed:
        from whisperx_api.pipeline.out_of_memory import is_out_of_memory

        lacking = is_out_of_memory(error)
        lost = self.device != "cpu" and not lacking and any(words in str(error) for words in DEVICE_LOST)
        return StageFailed(
            request.attempt, request.stage, explain(error), retryable=True, out_of_memory=lacking, fatal=lost
        )

    def _run(self, request: RunStage) -> str:
        from whisperx_api.pipeline import run

        inputs, options = request.inputs, request.options

        def report(fraction: float) -> None:
            self._stop_if_cancelled()
            self._wire.send(StageProgress(request.attempt, request.stage, fraction))

        def on_segment(segment: Segment) -> None:
            self._wire.send(SegmentReady(request.attempt, segment))
            self._first_texts.came(request.attempt)

        if request.stage is Stage.DIARIZE:
            self._models.diarizer()  # it is loaded meanwhile, and what can't be is known at once
            self._say(WAITING)
            self._first_texts.wait(request.attempt, self._stop_if_cancelled)
        report(0.0)
        if request.stage is Stage.TRANSCRIBE:
            result = run.transcribe(inputs.audio, options, self._models, self._decoding, report, on_segment)
        elif request.stage is Stage.ALIGN:
            assert inputs.transcription is not None
            result = run.align(inputs.audio, inputs.transcription, self._models, report)
        elif request.stage is Stage.DIARIZE:
            result = run.diarize(inputs.audio, options, self._models, report, inputs.voices)
        else:
            assert inputs.transcription is not None
            result = run.assign(inputs.audio, options, inputs.transcription, inputs.alignment, inputs.diarization)
        return to_json(result).decode()

    def _models_changed(self, names: tuple[str, ...], memory_used: int) -> None:
        self._at_work.loading = False
        self._wire.send(ModelsLoaded(names, memory_used))

    def _loading(self, name: str) -> None:
        self._at_work.loading = True
        kind, _, model = name.partition(":")
        self._say(f"Loading the {MODEL_KINDS[kind]} model {model}")

    def _waiting(self) -> None:
        self._stop_if_cancelled()
        self._say("Waiting for room on the device")

    def _say(self, message: str) -> None:
        """Say what a stage is at before it begins its work."""
        if (request := self._request) is not None:
            self._wire.send(StageProgress(request.attempt, request.stage, 0.0, message))

    def _stop_if_cancelled(self) -> None:
        if (request := self._request) is not None and (request.attempt, request.stage) in self._cancelled:
            raise StageStopped

    @property
    def _request(self) -> RunStage | None:
        """What this thread is at."""
        return getattr(self._at_work, "request", None)


def serve_or_die(engine: Engine, stage: Stage, requests: queue.Queue[RunStage]) -> None:
    """Run requests. What no stage's failure explains ends the process, so that the server is not left waiting."""
    try:
        engine.serve(stage, requests)
    except BaseException:
        logger.critical("%s", traceback.format_exc())
        os._exit(1)


def beat(wire: Wire) -> None:
    """Tell the server for ever that this process is alive."""
    while True:
        time.sleep(HEARTBEAT_SECONDS)
        wire.send(Heartbeat())


def explain(error: Exception) -> str:
    """Say what went wrong in a sentence for the job's owner; the log has the rest."""
    from whisperx_api.pipeline.out_of_memory import is_out_of_memory

    if isinstance(error, ModelUnavailable):
        return str(error)
    text = str(error).strip() or type(error).__name__
    if is_out_of_memory(error):
        return f"The device ran out of memory: set a smaller BATCH_SIZE or MODEL_RESIDENCY=release. ({text[:200]})"
    return f"{type(error).__name__}: {text[:500]}"


def prepare_environment(config: EngineConfig) -> None:
    """Set what the libraries read from the environment when they are imported: no telemetry, no surprises.

    Models that are fetched are for the service's user alone, like all that it writes.
    """
    os.umask(0o077)
    telemetry.switch_off()
    os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_PROGRESS_BARS="1")
    if not config.auto_download:
        os.environ["HF_HUB_OFFLINE"] = "1"


def main(arguments: list[str]) -> int:
    """Be the engine process: `PARENT SOCKET`."""
    die_with_parent(int(arguments[0]))
    let_others_go_first(NICENESS)
    os.dup2(2, 1)  # whatever a library prints goes to the log
    wire = Wire(socket.socket(fileno=int(arguments[1])))
    if (first := wire.read()) is None:
        return 0
    config = TypeAdapter(EngineConfig).validate_json(first)
    log.configure(config.log_level, config.log_format, process="engine")
    prepare_environment(config)
    try:
        engine = Engine(config, wire)
    except Exception as error:
        if not isinstance(error, DeviceUnavailable):  # that one says all there is to say
            logger.error("%s", traceback.format_exc())
        wire.send(StageFailed(Attempt("", 0), Stage.TRANSCRIBE, f"The engine can't start. {error}", retryable=False))
        return 1
    requests: dict[Stage, queue.Queue[RunStage]] = {stage: queue.Queue() for stage in ENGINE_STAGES}
    for lane in requests.items():
        threading.Thread(target=serve_or_die, args=(engine, *lane), daemon=True).start()
    wire.send(engine.ready)
    threading.Thread(target=beat, args=(wire,), daemon=True).start()
    while (body := wire.read()) is not None:
        message = to_engine.validate_json(body)
        if isinstance(message, CancelStage):
            engine.cancel(message.attempt, message.stage)
        elif isinstance(message, UnloadModels):
            engine.unload(message.models)
        else:
            engine.expect(message)
            requests[message.stage].put(message)
    os._exit(0)  # the server has hung up: nothing computed from here on would be heard


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
