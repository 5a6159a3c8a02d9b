// The languages that a recording may be said to be in: those of whisperx_api/languages.py, which a test compares.

import languages from "./languages.json";

export const LANGUAGES: [code: string, name: string][] = Object.entries(languages).sort(([, a], [, b]) => a.localeCompare(b));

export function languageName(code: string): string {
  return (languages as Record<string, string>)[code] ?? code;
}

/** How HTML calls a language of Whisper's: as Whisper does, but for Javanese. */
export function languageTag(code: string): string {
  return code === "jw" ? "jv" : code;
}
