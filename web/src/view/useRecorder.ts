// A recording from the microphone.

import { useRef, useState } from "preact/hooks";

export interface Recorder {
  /** Seconds so far; null while nothing is recorded. */
  seconds: number | null;
  error: string | null;
  start(): Promise<void>;
  stop(): void;
}

const REFUSED = "The browser does not let this page use the microphone: allow it in the address bar.";
const INSECURE = "Browsers record only on pages that come by HTTPS, or from this machine itself.";
const NONE = "No microphone was found.";

export function useRecorder(made: (file: File) => void): Recorder {
  const [seconds, setSeconds] = useState<number | null>(null);
  const [error, setError] = useState<string | null>(null);
  const recording = useRef<MediaRecorder | null>(null);

  const start = async () => {
    setError(null);
    if (!navigator.mediaDevices) return setError(INSECURE);
    let sound: MediaStream;
    try {
      sound = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (fault) {
      return setError((fault as DOMException).name === "NotFoundError" ? NONE : REFUSED);
    }
    const recorder = new MediaRecorder(sound);
    const parts: Blob[] = [];
    const began = Date.now();
    const clock = setInterval(() => setSeconds((Date.now() - began) / 1000), 500);
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onstop = () => {
      clearInterval(clock);
      setSeconds(null);
      for (const track of sound.getTracks()) track.stop();
      const type = recorder.mimeType;
      made(new File(parts, `recording ${stamp(new Date(began))}.${type.includes("mp4") ? "m4a" : "webm"}`, { type }));
    };
    recorder.start(1000); // milliseconds a part: what is recorded is not lost by one fault at the end
    recording.current = recorder;
    setSeconds(0);
  };
  return { seconds, error, start, stop: () => recording.current?.stop() };
}

function stamp(date: Date): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}.${two(date.getMinutes())}`;
}
