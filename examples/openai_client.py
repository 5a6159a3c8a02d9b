"""OpenAI's own client, with this server in OpenAI's place: openai_client.py meeting.wav

WHISPERX_API_URL and WHISPERX_API_KEY name the server and its key.
"""

import os
import sys
from pathlib import Path

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("WHISPERX_API_URL", "http://127.0.0.1:8000") + "/v1",
    api_key=os.environ["WHISPERX_API_KEY"],
    timeout=3600,  # the answer comes when the recording is transcribed
)


def main(path: Path) -> None:
    # Who said what: the client's own types have the speakers.
    transcript = client.audio.transcriptions.create(
        file=path, model="gpt-4o-transcribe-diarize", response_format="diarized_json"
    )
    for segment in transcript.segments:
        print(f"{segment.start:7.2f}  {segment.speaker}: {segment.text}")

    # The text as it comes, and all of it at the end.
    for event in client.audio.transcriptions.create(file=path, model="gpt-4o-transcribe", stream=True):
        if event.type == "transcript.text.delta":
            print(event.delta, end="", flush=True)
        elif event.type == "transcript.text.done":
            print(f"\n{len(event.text)} characters")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
