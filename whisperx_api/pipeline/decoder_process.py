"""The decoder process: one file, its own memory and time limits, one line of JSON as the answer."""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path

from whisperx_api.lifeline import die_with_parent, let_others_go_first
from whisperx_api.pipeline.decode import BYTES_PER_SAMPLE, MAX_CHANNELS, NotAudio, decode, probe
from whisperx_api.transcript import CHANNEL_GAP, SAMPLE_RATE

ADDRESS_SPACE = 4 * 1024**3
"""Most memory the decoder process may map, in bytes. FFmpeg's libraries alone map about 0.5 GiB."""
NICENESS = 5
"""After the server, and before the engine: whoever uploads waits for it."""


def main(arguments: list[str]) -> int:
    """Be the decoder process: `PARENT mix|separate probe FILE` or `PARENT mix|separate decode FILE TARGET LONGEST`.

    Writes lines of JSON: `{"progress": 0.4}` any number of times, then `{"audio": …}`, `{"duration": …}`,
    `{"not_audio": …}` or `{"errno": …}`.
    """
    parent, channels, command, source, *rest = arguments
    separate = channels == "separate"
    die_with_parent(int(parent))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)  # the sound is for the service's user alone
    let_others_go_first(NICENESS)
    said = 0.0

    def report(fraction: float) -> None:
        nonlocal said
        if fraction - said >= 0.02:
            said = fraction
            print(json.dumps({"progress": round(fraction, 3)}), flush=True)

    try:
        if command == "probe":
            answer: dict[str, object] = {"duration": probe(Path(source), separate)}
        else:
            target, longest = Path(rest[0]), float(rest[1])
            most = round((longest + 1) * SAMPLE_RATE) * BYTES_PER_SAMPLE
            if separate:
                most = (most + CHANNEL_GAP * BYTES_PER_SAMPLE) * MAX_CHANNELS
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            answer = {"audio": asdict(decode(Path(source), target, report, longest, separate))}
    except NotAudio as error:
        answer = {"not_audio": str(error)}
    except MemoryError:
        answer = {"not_audio": "decoding the file takes more memory than a recording should"}
    except OSError as error:
        answer = {"errno": error.errno or errno.EIO}
    print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
