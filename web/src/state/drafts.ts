// Texts that are being put right and not saved yet. They outlast a row that is out of sight, another part of the page, a
// new key and a reload: those that are changed are kept in this tab's session storage, and who closes the tab is asked.

import { tellWork } from "./work";

const PLACE = "whisperx-draft-";

export interface Draft {
  text: string;
  /** What the segment said when it was taken up. */
  was: string;
  /** Whether it is on its way to the server. */
  busy?: boolean;
  /** Why it was not saved, a sentence. It is kept too: `was` may be what somebody else has put there, which it tells. */
  fault?: string;
}

/** Drafts by their segments' ids. */
export type Drafts = ReadonlyMap<number, Draft>;

/** Return the drafts with this one for a segment; with none where it is null. */
export function withDraft(drafts: Drafts, id: number, draft: Draft | null): Drafts {
  const all = new Map(drafts);
  if (draft) all.set(id, draft);
  else all.delete(id);
  return all;
}

export function keptDrafts(task: string): Drafts {
  try {
    return new Map(JSON.parse(sessionStorage.getItem(PLACE + task) ?? "[]") as [number, Draft][]);
  } catch {
    return new Map();
  }
}

/** Keep a draft, or none any more where it is null. `there` are those that are shown. */
export function keepDraft(task: string, id: number, draft: Draft | null, there: Drafts): void {
  const changed = draft !== null && isChanged(draft) ? { ...draft, busy: undefined } : null;
  try {
    const all = withDraft(keptDrafts(task), id, changed);
    if (all.size) sessionStorage.setItem(PLACE + task, JSON.stringify([...all]));
    else sessionStorage.removeItem(PLACE + task);
  } catch {
    return guard([...withDraft(there, id, draft).values()].some(isChanged)); // a browser that keeps nothing has it as long as its transcript is shown
  }
  guardDrafts();
}

function isChanged({ text, was }: Draft): boolean {
  return text !== was;
}

/** Forget the drafts of a task, or all. */
export function forgetDrafts(task = ""): void {
  for (const place of places(task)) sessionStorage.removeItem(place);
  guardDrafts();
}

/** Whether there are texts that were changed and not saved. */
export function hasDrafts(): boolean {
  return places("").length > 0;
}

/** Have the browser ask who closes the page as long as there are drafts. */
export function guardDrafts(): void {
  guard(hasDrafts());
}

function guard(needed: boolean): void {
  tellWork("drafts", needed);
  if (needed) addEventListener("beforeunload", ask);
  else removeEventListener("beforeunload", ask);
}

function ask(event: Event): void {
  event.preventDefault();
}

function places(task: string): string[] {
  try {
    return Object.keys(sessionStorage).filter((place) => place.startsWith(PLACE + task));
  } catch {
    return [];
  }
}
