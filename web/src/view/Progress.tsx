// A task that is not done: how far it is, and what was heard so far.

import type { Segment, Status } from "../api/types";
import { clock, lasting } from "../text/time";

const STAGES = [
  ["decode", "Decode"],
  ["transcribe", "Transcribe"],
  ["align", "Align words"],
  ["diarize", "Find speakers"],
  ["assign", "Put together"],
] as const;

interface Props {
  status: Status;
  heard: Segment[];
  away: boolean;
  cancel(): void;
}

export function Progress({ status, heard, away, cancel }: Props) {
  const waiting = status.status === "pending";
  const place = status.queue_position ? `${status.queue_position} before this one` : "next in line";
  const left = status.eta_seconds ? `about ${lasting(status.eta_seconds)} left` : "";
  const reached = STAGES.findIndex(([stage]) => stage === status.stage);
  return (
    <section class="card progress" aria-label="Progress">
      <p class="doing" aria-live="polite">
        <strong>{away ? "The server does not answer. Trying again …" : waiting ? `Waiting, ${place}` : status.message}</strong>
      </p>
      <progress max={100} value={status.progress} aria-label="Done" />
      <p class="numbers">
        <span>{status.progress.toFixed(status.progress < 10 ? 1 : 0)} %</span>
        <span>{left}</span>
      </p>
      <ol class="stages">
        {STAGES.map(([stage, label], index) => (
          <li key={stage} class={index < reached ? "past" : index === reached ? "now" : ""} aria-current={index === reached ? "step" : undefined}>
            {label}
          </li>
        ))}
      </ol>
      <p>
        <button type="button" onClick={cancel}>
          Cancel
        </button>
      </p>
      {heard.length > 0 && (
        <div class="heard" aria-label="Heard so far" role="log" tabIndex={0}>
          {heard.map((segment, place) => (
            <p key={place} /* each stream numbers them from 0 */>
              <span class="at">{clock(segment.start)}</span> <bdi>{segment.text}</bdi>
            </p>
          ))}
        </div>
      )}
    </section>
  );
}
