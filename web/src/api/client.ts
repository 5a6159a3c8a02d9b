// Asks the server. Every refusal is an ApiError with the server's own sentence.

import type { Edits, Model, Status, TaskPage, Transcript, Waveform } from "./types";

const BASE = "/api/v1/transcribe";

export class ApiError extends Error {
  /** `status` is 0 where there was no answer. */
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

export const NO_ANSWER = "The server does not answer. What it has taken is safe: it goes on when the server is back.";

/** Fields of an upload; what is empty is left out. */
export type Fields = Record<string, string>;

export interface Sending {
  done: Promise<string>;
  abort(): void;
}

export class Api {
  constructor(
    private readonly root: string,
    readonly key: string,
  ) {}

  status(task: string): Promise<Status> {
    return this.json(`${BASE}/status/${task}?include_result=false`);
  }

  transcript(task: string): Promise<Transcript> {
    return this.json(`${BASE}/result/${task}`);
  }

  waveform(task: string): Promise<Waveform> {
    return this.json(`${BASE}/waveform/${task}`);
  }

  tasks(cursor: string | null = null): Promise<TaskPage> {
    return this.json(`${BASE}/tasks?limit=50${cursor ? `&cursor=${cursor}` : ""}`);
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

  async remove(task: string): Promise<void> {
    await this.request(`${BASE}/task/${task}`, { method: "DELETE" });
  }

  edit(task: string, edits: Edits): Promise<Transcript> {
    return this.json(`${BASE}/result/${task}`, { method: "PATCH", body: JSON.stringify(edits) });
  }

  async written(task: string, format: string): Promise<Blob> {
    return (await this.request(`${BASE}/result/${task}?format=${format}`)).blob();
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
      return new ApiError(0, NO_ANSWER);
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
      request.onerror = () => reject(new ApiError(0, NO_ANSWER));
      request.onabort = () => reject(new ApiError(0, "The upload was stopped."));
      request.onload = () => {
        if (request.status >= 400) reject(refusal(request.status, request.responseText));
        else resolve((JSON.parse(request.responseText) as { task_id: string }).task_id);
      };
    });
    request.open("POST", `${this.root}${BASE}/upload`);
    if (this.key) request.setRequestHeader("X-API-Key", this.key);
    request.setRequestHeader("Idempotency-Key", name);
    request.send(form);
    return { done, abort: () => request.abort() };
  }

  private async json<T>(path: string, options: RequestInit = {}): Promise<T> {
    return (await this.request(path, options)).json() as Promise<T>;
  }

  private async request(path: string, options: RequestInit = {}): Promise<Response> {
    const headers = new Headers(this.key ? { "X-API-Key": this.key } : {});
    let answer: Response;
    try {
      answer = await fetch(`${this.root}${path}`, { ...options, headers });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new ApiError(0, NO_ANSWER);
    }
    if (!answer.ok) throw refusal(answer.status, await answer.text());
    return answer;
  }
}

function refusal(status: number, body: string): ApiError {
  try {
    const read = JSON.parse(body) as { detail?: unknown; error?: { message?: unknown } };
    const detail = read.detail ?? read.error?.message;
    if (typeof detail === "string") return new ApiError(status, detail);
  } catch {
    // a proxy in between speaks HTML
  }
  return new ApiError(status, `The server answered ${status}.`);
}
