// Asks the server. Every refusal is an ApiError with the server's own sentence.

import type { Edits, Model, Status, TaskPage, Transcript, Waveform } from "./types";

const BASE = "/api/v1/transcribe";

export class ApiError extends Error {
  /** 0 where there was no answer. */
  readonly status: number;
  /** How many seconds to wait before one asks again, where the server says so. */
  readonly after: number | null;

  constructor(status: number, detail: string, after: string | null = null) {
    super(detail);
    this.status = status;
    this.after = /^\d{1,6}$/.test(after ?? "") ? Number(after) : null; // the server's own is no date
  }

  /**
   * Whether it may pass by itself: nobody answered, somebody else did, or the server says that it can't just now. A 500
   * is a fault that stays, such as a transcript that can't be read.
   */
  get passing(): boolean {
    return this.status < 400 || this.status === 429 || this.status > 500;
  }
}

export const NO_ANSWER = "The server does not answer.";
const NOT_OURS = "Something other than the server has answered, as a network's sign-in page does. Try again.";
const UNREADABLE = "The browser can't read this file any more. Choose it again.";
const UNSENDABLE = "The API key has signs in it that can't be sent. Copy it again.";

/** Fields of an upload; what is empty is left out. */
export type Fields = Record<string, string>;

export interface Sending {
  done: Promise<string>;
  abort(): void;
}

export class Api {
  readonly key: string;
  private readonly root: string;

  constructor(root: string, key: string) {
    this.root = root;
    this.key = key;
  }

  status(task: string): Promise<Status> {
    return this.json(`${BASE}/status/${task}?include_result=false`);
  }

  transcript(task: string): Promise<Transcript> {
    return this.json(`${BASE}/result/${task}`);
  }

  waveform(task: string): Promise<Waveform> {
    return this.json(`${BASE}/waveform/${task}`);
  }

  tasks(limit: number, cursor: string | null = null): Promise<TaskPage> {
    return this.json(`${BASE}/tasks?limit=${limit}${cursor ? `&cursor=${cursor}` : ""}`);
  }

  models(): Promise<{ data: Model[] }> {
    return this.json("/v1/models");
  }

  cancel(task: string): Promise<Status> {
    return this.json(`${BASE}/cancel/${task}`, { method: "POST" });
  }

  retry(task: string): Promise<Status> {
    return this.json(`${BASE}/retry/${task}`, { method: "POST" });
  }

  /** Delete a task. One that is deleted already is what was wanted. */
  async remove(task: string): Promise<void> {
    try {
      await this.request(`${BASE}/task/${task}`, { method: "DELETE" });
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }
  }

  edit(task: string, edits: Edits): Promise<Transcript> {
    return this.json(`${BASE}/result/${task}`, { method: "PATCH", body: JSON.stringify(edits) });
  }

  async written(task: string, format: string): Promise<Blob> {
    return whole((await this.request(`${BASE}/result/${task}?format=${format}`)).blob());
  }

  /** A URL of the recording that the player can ask for without the key, for an hour. */
  async audio(task: string): Promise<string> {
    return (await this.json<{ url: string }>(`${BASE}/audio/${task}/links`, { method: "POST" })).url;
  }

  /** Why a link to a recording leads nowhere; null where it does lead to one. */
  async refusalOf(link: string): Promise<ApiError | null> {
    try {
      const answer = await fetch(link, { headers: { Range: "bytes=0-0" } });
      return answer.ok ? null : refusal(answer.status, await answer.text());
    } catch {
      return noAnswer();
    }
  }

  events(task: string, signal: AbortSignal): Promise<Response> {
    return this.request(`${BASE}/events/${task}`, { signal });
  }

  /** Send a recording; `done` gives its task. Who sends again under the same `name` gets the same task. */
  upload(file: Blob, filename: string, fields: Fields, name: string, report: (fraction: number) => void): Sending {
    const form = new FormData();
    for (const [field, value] of Object.entries(fields)) if (value) form.append(field, value);
    form.append("file", file, filename);
    const request = new XMLHttpRequest(); // fetch does not say how far a body has gone
    const done = new Promise<string>((resolve, reject) => {
      request.upload.onprogress = (event) => report(event.total ? event.loaded / event.total : 0);
      request.onerror = () => void isThere(file).then((there) => reject(there ? noAnswer() : new ApiError(0, UNREADABLE)));
      request.onabort = () => reject(new ApiError(0, "The upload was stopped."));
      request.onload = () => {
        const { status, responseText } = request;
        const task = status < 400 ? read<{ task_id?: unknown } | null>(responseText)?.task_id : null;
        if (typeof task === "string") resolve(task);
        else if (status < 400) reject(new ApiError(status, NOT_OURS));
        else reject(refusal(status, responseText, request.getResponseHeader("Retry-After")));
      };
      request.open("POST", `${this.root}${BASE}/upload`);
      for (const [header, value] of this.headers()) request.setRequestHeader(header, value);
      request.setRequestHeader("Idempotency-Key", name);
      request.send(form);
    });
    return { done, abort: () => request.abort() };
  }

  private headers(): Headers {
    try {
      return new Headers(this.key ? { "X-API-Key": this.key } : {});
    } catch {
      throw new ApiError(401, UNSENDABLE); // headers are Latin-1
    }
  }

  private async json<T>(path: string, options: RequestInit = {}): Promise<T> {
    const answer = await this.request(path, options);
    const found = read<T>(await whole(answer.text()));
    if (found === undefined) throw new ApiError(answer.status, NOT_OURS);
    return found;
  }

  private async request(path: string, options: RequestInit = {}): Promise<Response> {
    const headers = this.headers();
    let answer: Response;
    try {
      answer = await fetch(`${this.root}${path}`, { ...options, headers });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw noAnswer();
    }
    if (!answer.ok) throw refusal(answer.status, await whole(answer.text()));
    return answer;
  }
}

function noAnswer(): ApiError {
  return new ApiError(0, `${NO_ANSWER} Try again when it is back.`);
}

/** Whether a file can be read: it may have been moved since it was chosen, or be a folder. */
async function isThere(file: Blob): Promise<boolean> {
  try {
    return (await file.slice(0, 1).arrayBuffer()).byteLength > 0; // browsers fail, or give nothing
  } catch {
    return false;
  }
}

/** Wait for the rest of an answer, which may break off. */
async function whole<T>(body: Promise<T>): Promise<T> {
  try {
    return await body;
  } catch {
    throw noAnswer();
  }
}

/** What a text says in JSON; undefined where it is none. */
function read<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}

function refusal(status: number, body: string, after: string | null = null): ApiError {
  const said = read<{ detail?: unknown; error?: { message?: unknown } } | null>(body); // a proxy in between speaks HTML
  const detail = said?.detail ?? said?.error?.message;
  return new ApiError(status, typeof detail === "string" ? detail : `The server answered ${status}.`, after);
}
