// What a transcript can be downloaded as.

export const FORMATS = [
  { format: "srt", suffix: ".srt", label: "SRT subtitles" },
  { format: "vtt", suffix: ".vtt", label: "WebVTT subtitles" },
  { format: "text", suffix: ".txt", label: "Plain text" },
  { format: "json", suffix: ".json", label: "JSON, whole" },
  { format: "tsv", suffix: ".tsv", label: "Table (TSV)" },
  { format: "rttm", suffix: ".rttm", label: "Speaker turns (RTTM)" },
  { format: "verbose_json", suffix: ".verbose.json", label: "OpenAI verbose JSON" },
  { format: "diarized_json", suffix: ".diarized.json", label: "OpenAI diarized JSON" },
] as const;

/** The name of a download: that of the recording with another ending. */
export function nameFor(recording: string, suffix: string): string {
  return recording.replace(/\.[^./\\]{1,8}$/, "") + suffix;
}
