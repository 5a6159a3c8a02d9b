import { clock } from "../text/time";
import type { Recorder } from "./useRecorder";

export function StopRecording({ seconds, stop }: Recorder) {
  return (
    <button type="button" class="danger" onClick={stop}>
      Stop and send, {clock(seconds ?? 0)}
    </button>
  );
}
