"""Takes the webhooks of a server and fetches each transcript: webhook_receiver.py 8080

WEBHOOK_SECRET is what the messages are signed with: the `webhook_secret` that an upload with `webhook_url` is answered,
or one of your own that it names. WHISPERX_API_URL and WHISPERX_API_KEY name the server and its key.

The server calls no private address unless OUTGOING_ALLOW names it.
"""

import os
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from standardwebhooks import Webhook, WebhookVerificationError

URL = os.environ.get("WHISPERX_API_URL", "http://127.0.0.1:8000")
WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
LONGEST = 64 * 1024

ended: queue.Queue[dict] = queue.Queue()
seen: set[str] = set()  # ids of messages; keep them in a database where a restart must not forget them


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), LONGEST))
        try:
            message = WEBHOOK.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError as error:  # a stranger, or a message that is older than five minutes
            self.send_error(401, str(error))
            return
        # Answer first, work later: what takes longer than 15 s counts as a failure, and is sent again.
        self.send_response(204)
        self.end_headers()
        if (message_id := self.headers["webhook-id"]) not in seen:  # the same message may come twice
            seen.add(message_id)
            ended.put(message)

    def log_message(self, format: str, *args: object) -> None:
        print(format % args, file=sys.stderr)


def work() -> None:
    while True:
        message = ended.get()
        task = message["data"]
        if message["type"] != "transcription.completed":
            print(f"{task['task_id']} {message['type']}: {task.get('error')}", flush=True)
            continue
        address = f"{URL}/api/v1/transcribe/result/{task['task_id']}"
        answer = requests.get(address, headers={"X-API-Key": os.environ["WHISPERX_API_KEY"]}, timeout=60)
        answer.raise_for_status()
        print(f"{task['task_id']} {task['filename']}: {answer.json()['text']}", flush=True)


if __name__ == "__main__":
    threading.Thread(target=work, daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(f"listening on http://127.0.0.1:{server.server_port}", file=sys.stderr, flush=True)
    server.serve_forever()
