// The API key, kept in this browser alone.

import { forgetDrafts } from "./drafts";

const PLACE = "whisperx-api-key";

export function savedKey(): string {
  try {
    return localStorage.getItem(PLACE) ?? "";
  } catch {
    return ""; // a browser that keeps nothing asks each time
  }
}

export function saveKey(key: string): void {
  if (!key) forgetDrafts();
  try {
    if (key) localStorage.setItem(PLACE, key);
    else localStorage.removeItem(PLACE);
  } catch {
    // it is used until the page is closed
  }
}

/**
 * Take over the key that a link to this page brings, as in `#/task/ID&key=KEY`, and take it out of the address. Only on
 * one's own machine: elsewhere a stranger's link would have what is sent here belong to the stranger.
 */
export function takeKeyFromLink(): void {
  const { hash, hostname, pathname, search } = location;
  const found = /[#&]key=([^&]+)/.exec(hash);
  if (!found) return;
  if (["127.0.0.1", "localhost", "[::1]"].includes(hostname)) saveKey(decodeURIComponent(found[1]!));
  history.replaceState(null, "", pathname + search + hash.slice(0, found.index));
}
