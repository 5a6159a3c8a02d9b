// What the server sends at /api/v1/transcribe. Times are seconds, dates ISO 8601 in UTC.

export type State = "pending" | "processing" | "completed" | "failed" | "cancelled";

export const FINAL: ReadonlySet<State> = new Set<State>(["completed", "failed", "cancelled"]);

export interface Status {
  task_id: string;
  filename: string;
  duration: number | null;
  status: State;
  progress: number;
  stage: string | null;
  message: string | null;
  queue_position: number | null;
  eta_seconds: number | null;
  created_at: string;
  completed_at: string | null;
  error: string | null;
}

export interface Word {
  word: string;
  start: number;
  end: number;
  score: number | null;
  speaker: string | null;
}

export interface Segment {
  id: number;
  start: number;
  end: number;
  text: string;
  speaker: string | null;
  /** Of its text, where that is not the transcript's: what was translated is in English. */
  language?: string;
  words?: Word[];
}

export interface Speaker {
  id: string;
  name: string | null;
  duration: number;
}

export interface Transcript {
  task_id: string;
  language: string;
  duration: number;
  text: string;
  segments: Segment[];
  speakers: Speaker[];
  models: Record<string, string | null>;
  warnings: string[];
}

export interface Waveform {
  samples_per_pixel: number;
  sample_rate: number;
  length: number;
  data: number[];
}

export interface TaskPage {
  tasks: Status[];
  next_cursor: string | null;
}

export interface Edits {
  speakers?: Record<string, string | null>;
  /** `was` is the text that was put right: where it is another by now, the server refuses. */
  segments?: { id: number; text: string; was?: string }[];
}

export interface Model {
  id: string;
  /** Seconds since 1970; 0 where it is not on the server yet. */
  created: number;
}
