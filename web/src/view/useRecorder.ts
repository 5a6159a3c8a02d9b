// A recording from the microphone.

import { useRef, useState } from "preact/hooks";

export interface Recorder {
  /** Seconds so far; null while nothing is recorded. */
  seconds: number | null;
  error: string | null;
  start(): Promise<void>;
  /** Stop, and have it sent. */
  stop(): void;
  /** Stop, and keep nothing of it. */
  discard(): void;
}

const REFUSED = "The browser does not let this page use the microphone: allow it in the address bar.";
const INSECURE = "Browsers record only on pages that come by HTTPS, or from this machine itself.";
const NONE = "No microphone was found.";
const BUSY = "The microphone can't be opened: another program may have it. Close that, and press Record again.";
/** By the names of what browsers throw. */
const WHY: Record<string, string> = { NotFoundError: NONE, NotReadableError: BUSY, AbortError: BUSY };
const UNABLE = "This browser can't record: choose another, or send a file.";

export function useRecorder(made: (file: File) => void): Recorder {
  const [seconds, setSeconds] = useState<number | null>(null);
  const [error, setError] = useState<string | null>(null);
  const recording = useRef<MediaRecorder | null>(null);
  const asking = useRef(false);
  const wanted = useRef(true);
  const latest = useRef(made);
  latest.current = made;

  const start = async () => {
    if (asking.current || recording.current) return; // a second press while the browser asks for its leave
    asking.current = wanted.current = true;
    setError(null);
    try {
      recording.current = await record(setSeconds, (file) => {
        recording.current = null;
        setSeconds(null);
        if (wanted.current) latest.current(file);
      });
      if (wanted.current) setSeconds(0);
      else recording.current.stop(); // it was given up while the browser asked for its leave
    } catch (fault) {
      setError((fault as Error).message);
    } finally {
      asking.current = false;
    }
  };
  const stop = () => recording.current?.stop();
  const discard = () => {
    wanted.current = false;
    stop();
  };
  return { seconds, error, start, stop, discard };
}

/** Begin to record. Throws an error with a sentence for the user where that can't be. */
async function record(tell: (seconds: number) => void, made: (file: File) => void): Promise<MediaRecorder> {
  const sound = await microphone();
  const free = () => sound.getTracks().forEach((track) => track.stop());
  const parts: Blob[] = [];
  const began = Date.now();
  let recorder: MediaRecorder;
  try {
    recorder = new MediaRecorder(sound);
    recorder.start(1000); // milliseconds a part: what is recorded is not lost by one fault at the end
  } catch {
    free();
    throw new Error(UNABLE);
  }
  const clock = setInterval(() => tell((Date.now() - began) / 1000), 500);
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = () => {
    clearInterval(clock);
    free();
    const type = recorder.mimeType;
    made(new File(parts, `recording ${stamp(new Date(began))}.${type.includes("mp4") ? "m4a" : "webm"}`, { type }));
  };
  return recorder;
}

async function microphone(): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new Error(INSECURE);
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (fault) {
    throw new Error(WHY[(fault as DOMException).name] ?? REFUSED);
  }
}

function stamp(date: Date): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}.${two(date.getMinutes())}`;
}
