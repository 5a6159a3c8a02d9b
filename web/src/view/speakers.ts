// Colours of speakers: by their order, so that they are the same in every part of the page; and what they are called: who
// has no name, as the files say it.

import type { Speaker } from "../api/types";

export const COLOURS = 8;

export function colourOf(speakers: readonly Speaker[], id: string | null): string {
  const place = speakers.findIndex((speaker) => speaker.id === id);
  return place < 0 ? "nobody" : `voice-${place % COLOURS}`;
}

export function nameOf(speakers: readonly Speaker[], id: string | null): string {
  const speaker = speakers.find((one) => one.id === id);
  return speaker?.name ?? speaker?.id ?? "";
}
