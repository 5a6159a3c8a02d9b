// Play, pause, jump, speed, and where one is.

import type { ComponentChildren } from "preact";
import { clock } from "../text/time";
import type { Waveform } from "../api/types";
import { useTime, type Played } from "./playback";
import { WaveformView } from "./WaveformView";

export const JUMP = 5; // seconds
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];

interface Props {
  played: Played;
  waveform: Waveform | null;
  duration: number;
  following: boolean;
  follow(following: boolean): void;
  /** What else stays in sight. */
  children: ComponentChildren;
}

export function Player({ played, waveform, duration, following, follow, children }: Props) {
  const { playback, playing, error } = played;
  const time = useTime(playback.audio);
  return (
    <section class="player" aria-label="Player">
      {waveform && <WaveformView waveform={waveform} audio={playback.audio} duration={duration} />}
      <div class="controls">
        <button type="button" class="round" onClick={() => playback.toggle()} aria-keyshortcuts="Space">
          <span aria-hidden="true">{playing ? "❚❚" : "▶"}</span>
          <span class="unseen">{playing ? "Pause" : "Play"}</span>
        </button>
        <button type="button" onClick={() => playback.seek(playback.audio.currentTime - JUMP)}>
          −{JUMP} s
        </button>
        <button type="button" onClick={() => playback.seek(playback.audio.currentTime + JUMP)}>
          +{JUMP} s
        </button>
        <label class="speed">
          <span class="unseen">Speed</span>
          <select onChange={(event) => playback.hasten(Number(event.currentTarget.value))}>
            {SPEEDS.map((speed) => (
              <option key={speed} value={speed} selected={speed === 1}>
                {speed}×
              </option>
            ))}
          </select>
        </label>
        <label class="check">
          <input type="checkbox" checked={following} onChange={() => follow(!following)} />
          <span>
            Follow<span class="of-what"> what is played</span>
          </span>
        </label>
        <input
          class="position"
          type="range"
          min={0}
          max={Math.ceil(duration)}
          step={1}
          value={Math.floor(time)}
          aria-label="Position"
          aria-valuetext={`${clock(time)} of ${clock(duration)}`}
          onInput={(event) => playback.seek(Number(event.currentTarget.value))}
        />
        <output class="time">
          {clock(time)} / {clock(duration)}
        </output>
        {children}
      </div>
      {error && (
        <p class="note" role="alert">
          {error}
        </p>
      )}
    </section>
  );
}
