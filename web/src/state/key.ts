// The API key, kept in this browser alone.

const PLACE = "whisperx-api-key";

export function savedKey(): string {
  try {
    return localStorage.getItem(PLACE) ?? "";
  } catch {
    return ""; // a browser that keeps nothing asks each time
  }
}

export function saveKey(key: string): void {
  try {
    if (key) localStorage.setItem(PLACE, key);
    else localStorage.removeItem(PLACE);
  } catch {
    // it is used until the page is closed
  }
}
