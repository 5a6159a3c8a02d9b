"""Upload a recording with requests, wait for it, and print who said what: requests_upload.py meeting.wav

WHISPERX_API_URL and WHISPERX_API_KEY name the server and its key.
"""

import os
import sys
import time

import requests

URL = os.environ.get("WHISPERX_API_URL", "http://127.0.0.1:8000") + "/api/v1/transcribe"


def main(path: str) -> None:
    with requests.Session() as session:
        session.headers["X-API-Key"] = os.environ["WHISPERX_API_KEY"]

        with open(path, "rb") as recording:
            # requests reads the whole file into memory for a form; with hours of sound, take httpx, which does not
            answer = session.post(f"{URL}/upload", files={"file": recording}, data={"language": "en"}, timeout=600)
        answer.raise_for_status()
        task = answer.json()["task_id"]

        while True:
            status = session.get(f"{URL}/status/{task}", timeout=30).json()
            if status["completed_at"]:
                break
            print(f"{status['progress']:5.1f} %  {status['message']}", file=sys.stderr)
            time.sleep(1)
        if status["status"] != "completed":
            sys.exit(status["error"] or f"The task was {status['status']}.")

        for segment in status["result"]["segments"]:
            print(f"{segment['start']:7.2f}  {segment['speaker'] or '-'}: {segment['text']}")


if __name__ == "__main__":
    main(sys.argv[1])
