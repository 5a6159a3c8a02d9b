#!/usr/bin/env bash
# Upload a recording, wait for it, and save its subtitles: curl.sh meeting.wav
# WHISPERX_API_URL and WHISPERX_API_KEY name the server and its key.
set -euo pipefail

file=$1
url=${WHISPERX_API_URL:-http://127.0.0.1:8000}/api/v1/transcribe

# The key goes in through a file descriptor: what is on a command line can be read by others on the machine.
call() { curl -sS --fail-with-body --config <(printf 'header = "X-API-Key: %s"\n' "$WHISPERX_API_KEY") "$@"; }
value_of() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

task=$(call -F "file=@$file" "$url/upload" | value_of task_id)
echo "task $task" >&2

while status=$(call "$url/status/$task?include_result=false" | value_of status); do
  case $status in
    completed) break ;;
    failed | cancelled) call "$url/status/$task" | value_of error >&2; exit 1 ;;
  esac
  sleep 1
done

call --output "${file%.*}.srt" "$url/result/$task?format=srt&max_line_count=2"
echo "${file%.*}.srt"
