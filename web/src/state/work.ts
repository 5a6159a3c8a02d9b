// What the tabs of this browser tell each other of: that there is something which is lost where the key is forgotten.

const PLACE = "whisperx-work-";

/** This tab's mark. One that a tab left behind as it broke down costs a question too many, once. */
const own = PLACE + [...crypto.getRandomValues(new Uint32Array(2))].join("-");
const kinds = new Set<string>();

/** Tell the others whether there is something of a kind here. */
export function tellWork(kind: string, there: boolean): void {
  if (there) kinds.add(kind);
  else kinds.delete(kind);
  mark(kinds.size > 0);
}

/** Whether another tab has told of something. */
export function isWorkElsewhere(): boolean {
  return places().some((place) => place !== own);
}

/** Take away what all tabs have told: it goes with the key. */
export function forgetWork(): void {
  for (const place of places()) localStorage.removeItem(place);
}

function mark(there: boolean): void {
  try {
    if (there) localStorage.setItem(own, "");
    else localStorage.removeItem(own);
  } catch {
    // a browser that keeps nothing has another key in each tab
  }
}

function places(): string[] {
  try {
    return Object.keys(localStorage).filter((place) => place.startsWith(PLACE));
  } catch {
    return [];
  }
}

addEventListener("pagehide", () => mark(false));
addEventListener("pageshow", () => mark(kinds.size > 0)); // one may come back to a page that was left
