// Colours of speakers: by their order, so that they are the same in every part of the page.

import type { Speaker } from "../api/types";

export const COLOURS = 8;

export function colourOf(speakers: readonly Speaker[], id: string | null): string {
  const place = speakers.findIndex((speaker) => speaker.id === id);
  return place < 0 ? "nobody" : `voice-${place % COLOURS}`;
}

export function nameOf(speakers: readonly Speaker[], id: string | null): string {
  const speaker = speakers.find((one) => one.id === id);
  if (!speaker) return "";
  return speaker.name ?? `Speaker ${Number(speaker.id.replace(/\D+/g, "")) + 1}`;
}
