// The API key, kept in this browser alone.

import { Api, ApiError } from "../api/client";
import { forgetDrafts } from "./drafts";
import { forgetWork } from "./work";

const PLACE = "whisperx-api-key";

/** A key as it was pasted, without what nobody sees: what is copied from a chat may have marks without width in it. */
export function cleaned(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, "").trim();
}

/** Whether a header can carry a key, which no other key has to. */
export function sendable(key: string): boolean {
  return /^[\x20-\x7e\xa0-\xff]*$/.test(key);
}

export function savedKey(): string {
  try {
    return cleaned(localStorage.getItem(PLACE) ?? "");
  } catch {
    return ""; // a browser that keeps nothing asks each time
  }
}

/** Whether a key was taken out of this browser, here or in another tab. */
export function isForgotten(key: string): boolean {
  try {
    return key !== "" && localStorage.getItem(PLACE) === null;
  } catch {
    return false;
  }
}

/** Call `tell` when the key is forgotten in another tab, until what this returns is called. */
export function whenForgotten(tell: () => void): () => void {
  const look = ({ key, newValue }: StorageEvent) => {
    if (key === null || (key === PLACE && newValue === null)) tell();
  };
  addEventListener("storage", look);
  return () => removeEventListener("storage", look);
}

export function saveKey(key: string): void {
  if (!key) {
    forgetDrafts();
    forgetWork();
  }
  try {
    if (key) localStorage.setItem(PLACE, key);
    else localStorage.removeItem(PLACE);
  } catch {
    // it is used until the page is closed
  }
}

/**
 * Take the key out of the address that a link to this page brings, as in `#/task/ID&key=KEY`, and return it where it is to
 * be used. The one that was used until now stays unless the server refuses it and takes the other: whoever gives a link
 * must not put a stranger's key in the place of one that works.
 */
export async function keyFromLink(root: string, used: string): Promise<string | null> {
  const brought = takenOut();
  if (!brought || brought === used) return null;
  if (used && ((await answered(root, used)) !== 401 || (await answered(root, brought)) !== 200)) return null;
  saveKey(brought);
  return brought;
}

/** The address's key. Only on one's own machine: elsewhere what is sent here would belong to whoever made the link. */
function takenOut(): string {
  const { hash, hostname, pathname, search } = location;
  const found = /[#&]key=([^&]*)/.exec(hash);
  if (!found) return "";
  history.replaceState(null, "", pathname + search + hash.slice(0, found.index));
  if (!["127.0.0.1", "localhost", "[::1]"].includes(hostname)) return "";
  try {
    const key = cleaned(decodeURIComponent(found[1]!));
    return sendable(key) ? key : "";
  } catch {
    return ""; // the link is torn
  }
}

/** What the server answers to a key: 200, or the status of its refusal. */
async function answered(root: string, key: string): Promise<number> {
  try {
    await new Api(root, key).models();
    return 200;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return error.status;
  }
}
