// Control by keys, wherever one is on the page but in a field.

import { useEffect } from "preact/hooks";
import type { Segment } from "../api/types";
import type { Playback } from "../player/playback";
import { JUMP } from "../player/Player";
import { placeAt, startsOf } from "../text/words";

export const KEYS = [
  ["Space", "play, pause"],
  ["← →", `${JUMP} s back, ahead`],
  ["↑ ↓", "segment before, after"],
  ["Shift + ← →", "word before, after"],
  ["/", "search"],
] as const;

const OWN = "input, textarea, select, button, a, [contenteditable]"; // what means something else by a key itself
const FIELD = "input, textarea, select";

export function useKeyboard(playback: Playback, segments: readonly Segment[]): void {
  useEffect(() => {
    const starts = startsOf(segments);
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as Element;
      if (event.ctrlKey || event.metaKey || event.altKey || target.closest(FIELD)) return;
      const act = actions(event, playback, segments, starts);
      if (!act || (event.key === " " && target.closest(OWN))) return;
      event.preventDefault();
      act();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [playback, segments]);
}

function actions(
  { key, shiftKey }: KeyboardEvent, playback: Playback, segments: readonly Segment[], starts: Float64Array,
): (() => void) | null {
  const now = playback.audio.currentTime;
  const place = placeAt(segments, starts, now);
  const to = (time: number | undefined) => () => time !== undefined && playback.seek(time);
  if (key === " ") return () => playback.toggle();
  if (key === "/") return () => document.getElementById("search")?.focus();
  if (key === "ArrowUp") return to(starts[Math.max(0, (place?.segment ?? 0) - 1)]);
  if (key === "ArrowDown") return to(starts[place ? place.segment + 1 : 0]);
  if (key === "ArrowLeft") return to(shiftKey ? wordBefore(segments, place) : now - JUMP);
  if (key === "ArrowRight") return to(shiftKey ? wordAfter(segments, place) : now + JUMP);
  return null;
}

type At = ReturnType<typeof placeAt>;

function wordAfter(segments: readonly Segment[], place: At): number | undefined {
  if (!place) return segments[0]?.start;
  const next = segments[place.segment]?.words?.[place.word + 1];
  return next ? next.start : segments[place.segment + 1]?.start;
}

function wordBefore(segments: readonly Segment[], place: At): number | undefined {
  if (!place) return undefined;
  if (place.word > 0) return segments[place.segment]?.words?.[place.word - 1]?.start;
  const before = segments[place.segment - 1];
  return before?.words?.at(-1)?.start ?? before?.start ?? segments[0]?.start;
}
