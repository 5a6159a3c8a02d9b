import { clock } from "../text/time";
import type { Recorder } from "./useRecorder";

/** One button, so that who has pressed it by a key can press it again. */
export function RecordButton({ seconds, start, stop }: Recorder) {
  const recording = seconds !== null;
  return (
    <button type="button" class={recording ? "danger" : ""} onClick={() => (recording ? stop() : void start())}>
      {recording ? `Stop and send, ${clock(seconds)}` : "Record"}
    </button>
  );
}
