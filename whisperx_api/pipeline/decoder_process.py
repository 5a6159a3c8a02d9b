"""The decoder process: one file, its own limits, nothing else within its reach, one line of JSON as the answer."""

from __future__ import annotations

import errno
import importlib
import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path

import av

from whisperx_api.confinement import confine, limit
from whisperx_api.lifeline import die_with_parent, let_others_go_first
from whisperx_api.pipeline.decode import BYTES_PER_SAMPLE, MAX_CHANNELS, NotAudio, decode, probe
from whisperx_api.transcript import CHANNEL_GAP, SAMPLE_RATE

ADDRESS_SPACE = 4 * 1024**3
"""Most memory the decoder process may map, in bytes. FFmpeg's libraries alone map about 0.5 GiB."""
OPEN_FILES = 64
"""Most files open at once: the recording, one for each of its channels, and what Python opens meanwhile."""
LIBRARIES = (Path(os.__file__).parent, Path(av.__file__).parents[1], Path(__file__).parents[1])
"""Where code lies that may still be imported; no data of the service does."""
NICENESS = 5
"""After the server, and before the engine: whoever uploads waits for it."""


def main(arguments: list[str]) -> int:
    """Be the decoder process: `PARENT mix|separate probe FILE` or `PARENT mix|separate decode FILE TARGET LONGEST`.

    Writes lines of JSON: `{"unconfined": …}` and `{"progress": 0.4}` any number of times, then `{"audio": …}`,
    `{"duration": …}`, `{"not_audio": …}` or `{"errno": …}`.
    """
    parent, channels, command, source, *rest = arguments
    separate = channels == "separate"
    die_with_parent(int(parent))
    os.umask(0o077)  # the sound is for the service's user alone
    let_others_go_first(NICENESS)
    if separate and command == "decode":
        importlib.import_module("whisperx_api.pipeline.channels")  # libraries may begin no threads any more after this
    limit(OPEN_FILES, ADDRESS_SPACE)
    target, longest = (Path(rest[0]), float(rest[1])) if command == "decode" else (None, 0.0)
    most = _most_bytes(longest, separate) if target else 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    for sentence in confine([Path(source), *LIBRARIES], [target.parent] if target else []):
        print(json.dumps({"unconfined": sentence}), flush=True)
    said = 0.0

    def report(fraction: float) -> None:
        nonlocal said
        if fraction - said >= 0.02:
            said = fraction
            print(json.dumps({"progress": round(fraction, 3)}), flush=True)

    try:
        if target is None:
            answer: dict[str, object] = {"duration": probe(Path(source), separate)}
        else:
            answer = {"audio": asdict(decode(Path(source), target, report, longest, separate))}
    except NotAudio as error:
        answer = {"not_audio": str(error)}
    except MemoryError:
        answer = {"not_audio": "decoding the file takes more memory than a recording should"}
    except OSError as error:
        answer = {"errno": error.errno or errno.EIO}
        if error.errno == errno.EFBIG:
            answer = {"not_audio": f"it makes more sound than {longest / 3600:g} hours are (MAX_DURATION_HOURS)"}
    print(json.dumps(answer), flush=True)
    return 0


def _most_bytes(longest: float, separate: bool) -> int:
    """Return how large a file of sound may become that holds `longest` seconds."""
    most = round((longest + 1) * SAMPLE_RATE) * BYTES_PER_SAMPLE
    return (most + CHANNEL_GAP * BYTES_PER_SAMPLE) * MAX_CHANNELS if separate else most


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
