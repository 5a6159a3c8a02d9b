// The recording, played. Links to it last an hour: one that is over is asked for anew, and playing goes on.

import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, type Api } from "../api/client";

const UNPLAYABLE = "Your browser can't play this kind of recording. The transcript is complete all the same.";
const OVER = 403; // what a link answers whose hour is over
const FURTHER = 0.25; // seconds from where it broke off at which it is heard again

export class Playback {
  readonly audio = new Audio();
  onError: (sentence: string) => void = () => {};
  onRefused: (error: ApiError) => void = () => {};
  private api: Api | null = null;
  /** Where in seconds it broke off, if the link that is there was asked for because of that and has not led on since. */
  private broken: number | null = null;
  /** Whether a link is on its way, or is looked into. */
  private busy = false;
  /** Where one wants to be, in seconds, and to hear it: what is not loaded yet takes neither. */
  private place: number | null = null;
  private wanted = false;
  private closed = false;

  constructor(private readonly task: string) {
    this.audio.preload = "metadata";
    this.audio.addEventListener("error", () => void this.mend());
    this.audio.addEventListener("loadedmetadata", () => this.loaded());
    this.audio.addEventListener("timeupdate", () => this.moved());
    this.audio.addEventListener("pause", () => (this.wanted = false)); // also by a media key, and at the end
  }

  /** Ask with this from now on; what there is no link for yet is asked for. */
  use(api: Api): void {
    this.api = api;
    this.revive();
  }

  private async open(api: Api): Promise<void> {
    this.busy = true;
    try {
      const url = await api.audio(this.task);
      if (!this.closed) this.audio.src = url;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401 && api === this.api && !this.closed) this.onRefused(error);
      else this.fail(error.message);
    } finally {
      this.busy = false;
    }
  }

  toggle(): void {
    if (this.audio.paused) void this.play();
    else this.pause();
  }

  pause(): void {
    this.wanted = false; // of what is not loaded yet, too, which tells of no pause
    this.audio.pause();
  }

  /** Go to a time in seconds, and play from there where `play` says so. */
  seek(time: number, play = false): void {
    const place = Math.max(0, time);
    this.revive();
    if (this.audio.readyState && !this.busy) this.audio.currentTime = place;
    else this.place = place;
    if (play) void this.play();
  }

  /** Play so many times as fast as it was spoken, whatever is loaded after this, too. */
  hasten(speed: number): void {
    this.audio.defaultPlaybackRate = this.audio.playbackRate = speed;
  }

  close(): void {
    this.closed = true;
    this.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
  }

  private loaded(): void {
    if (this.place !== null) this.audio.currentTime = this.place;
    this.place = null;
    if (this.wanted) void this.play();
  }

  /** What is heard elsewhere, or further on, was not broken. */
  private moved(): void {
    const { audio, broken } = this;
    const heard = audio.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
    if (broken !== null && heard && Math.abs(audio.currentTime - broken) > FURTHER) this.broken = null;
  }

  private async play(): Promise<void> {
    this.wanted = true;
    this.revive();
    try {
      await this.audio.play();
    } catch {
      // what can't be played says so by its "error" event; what was paused meanwhile is no fault
    }
  }

  private async mend(): Promise<void> {
    if (this.closed || !this.audio.src || !this.api) return;
    this.place ??= this.audio.currentTime;
    this.busy = true;
    const refusal = await this.api.refusalOf(this.audio.src);
    this.busy = false;
    if (this.closed) return;
    const passing = !refusal || refusal.status === OVER; // where there is none, it leads to the recording by now
    if (!passing || this.broken !== null) return this.fail(refusal?.message ?? UNPLAYABLE);
    this.broken = this.place ?? this.audio.currentTime;
    await this.open(this.api);
  }

  private fail(sentence: string): void {
    this.pause();
    this.onError(sentence);
  }

  /** What there was no link for, or what broke off, is there again perhaps. */
  private revive(): void {
    if (!this.api || this.closed || this.busy || (this.audio.src && !this.audio.error)) return;
    this.broken = null;
    void this.open(this.api);
  }
}

export interface Played {
  playback: Playback;
  playing: boolean;
  /** Why there is nothing to be heard, a sentence. */
  error: string | null;
}

/** The recording of a task, as long as it is shown. */
export function usePlayback(api: Api, task: string, refused: (error: ApiError) => void): Played {
  const playback = useMemo(() => new Playback(task), [task]);
  playback.onRefused = refused;
  const [playing, setPlaying] = useState(false);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    const { audio } = playback;
    const started = () => setPlaying(true);
    const stopped = () => setPlaying(false);
    const ready = () => setError(null);
    playback.onError = (sentence) => {
      setError(sentence);
      stopped(); // a new link has stopped what was played, of which there is no event
    };
    audio.addEventListener("play", started);
    audio.addEventListener("pause", stopped);
    audio.addEventListener("loadedmetadata", ready);
    return () => playback.close();
  }, [playback]);
  useEffect(() => playback.use(api), [playback, api]);
  return { playback, playing, error };
}

/** The time that is played, in whole steps of so many seconds. */
export function useTime(audio: HTMLAudioElement, step = 0.25): number {
  const [time, setTime] = useState(audio.currentTime);
  useEffect(() => {
    const tell = () => setTime(Math.floor(audio.currentTime / step) * step);
    audio.addEventListener("timeupdate", tell);
    audio.addEventListener("seeking", tell);
    return () => {
      audio.removeEventListener("timeupdate", tell);
      audio.removeEventListener("seeking", tell);
    };
  }, [audio, step]);
  return time;
}

/** Call `tell` with the time that is played before each frame while it plays, and after each jump. */
export function watchTime(audio: HTMLAudioElement, tell: (time: number, jumped: boolean) => void): () => void {
  let frame = 0;
  const now = () => tell(audio.currentTime, audio.seeking);
  const jumped = () => tell(audio.currentTime, true);
  const run = () => {
    now();
    frame = audio.paused ? 0 : requestAnimationFrame(run);
  };
  const start = () => {
    cancelAnimationFrame(frame);
    run();
  };
  audio.addEventListener("play", start);
  audio.addEventListener("seeking", jumped);
  start();
  return () => {
    cancelAnimationFrame(frame);
    audio.removeEventListener("play", start);
    audio.removeEventListener("seeking", jumped);
  };
}
