// Recordings on their way to the server: one after the other, since the line is the bottleneck.

import { ApiError, type Api, type Fields } from "../api/client";
import { lasting } from "../text/time";

export interface Upload {
  /** Also its Idempotency-Key: sent again, it is the same task. */
  readonly id: string;
  readonly file: File;
  readonly fields: Fields;
  /** Whether it was given by itself. */
  readonly alone: boolean;
  /** Whether it was recorded here: there is no other copy of it. */
  readonly spoken: boolean;
  readonly state: "waiting" | "sending" | "failed";
  /** 0..1 */
  readonly done: number;
  /** Why it has failed, or waits to be sent once more. */
  readonly error: ApiError | null;
}

export interface Told {
  changed(uploads: readonly Upload[]): void;
  taken(task: string, upload: Upload): void;
  refused(error: ApiError): void;
}

export class Outbox {
  private uploads: readonly Upload[] = [];
  private abort: (() => void) | null = null;
  private busy = false;
  /** Whether nothing is sent: the key was refused, and there is no other yet, or the server takes nothing for a while. */
  private held = false;
  private pause: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private api: Api,
    private readonly told: Told,
  ) {}

  /** Whom to send to, and with which key, from now on. */
  use(api: Api): void {
    this.api = api;
    this.goOn();
  }

  send(files: readonly File[], fields: Fields): void {
    const alone = files.length === 1;
    this.add(files.map((file) => fresh({ file, fields, alone, spoken: false })));
  }

  sendSpoken(file: File, fields: Fields): void {
    this.add([fresh({ file, fields, alone: true, spoken: true })]);
  }

  /**
   * Send what has failed once more, as it was given: it may be there by now, and is the same task. What the server has
   * refused is sent as it is wanted by now.
   */
  again(id: string, fields: Fields): void {
    this.set(
      this.uploads.map((one) => {
        if (one.id !== id) return one;
        return one.error?.passing ? { ...fresh(one), id } : fresh({ ...one, fields });
      }),
    );
    void this.run();
  }

  /** Send it no further, or not at all. */
  stop({ id, state, error }: Upload): void {
    if (state === "sending") return this.abort?.();
    this.set(this.uploads.filter((one) => one.id !== id));
    if (state === "waiting" && error) this.goOn(); // it alone says why the others wait: the next is to say so, too
  }

  /** Leave all of it. */
  clear(): void {
    this.set([]);
    this.abort?.();
  }

  private add(uploads: Upload[]): void {
    this.set([...this.uploads, ...uploads]);
    void this.run();
  }

  private async run(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    for (let next; !this.held && (next = this.uploads.find(({ state }) => state === "waiting")); ) await this.one(next);
    this.busy = false;
  }

  private async one(upload: Upload): Promise<void> {
    const { id, file, fields } = upload;
    const api = this.api;
    this.change(id, { state: "sending", error: null });
    try {
      const sending = api.upload(file, file.name, fields, id, (done) => this.change(id, { done }));
      this.abort = () => sending.abort();
      const task = await sending.done;
      this.set(this.uploads.filter((one) => one.id !== id));
      this.told.taken(task, upload);
    } catch (fault) {
      const error = fault instanceof ApiError ? fault : new ApiError(0, String(fault));
      if (error.passing && error.after !== null) return this.wait(id, error, error.after);
      if (error.status !== 401) return this.change(id, { state: "failed", error });
      this.change(id, { state: "waiting", done: 0 });
      if (api !== this.api) return; // it was the key before that is wrong
      this.held = true;
      this.told.refused(error);
    }
  }

  /** Leave the server alone for as long as it asks for: what is next would be refused as this is. */
  private wait(id: string, { status, message }: ApiError, after: number): void {
    const seconds = Math.max(1, after);
    const error = new ApiError(status, `${message} It is sent again in ${lasting(seconds)}.`);
    this.change(id, { state: "waiting", done: 0, error });
    this.held = true;
    this.pause = setTimeout(() => this.goOn(), 1000 * seconds);
  }

  private goOn(): void {
    clearTimeout(this.pause);
    this.held = false;
    void this.run();
  }

  private change(id: string, by: Partial<Upload>): void {
    this.set(this.uploads.map((one) => (one.id === id ? { ...one, ...by } : one)));
  }

  private set(uploads: readonly Upload[]): void {
    this.uploads = uploads;
    this.told.changed(uploads);
  }
}

function fresh({ file, fields, alone, spoken }: Pick<Upload, "file" | "fields" | "alone" | "spoken">): Upload {
  return { id: uniqueName(), file, fields, alone, spoken, state: "waiting", done: 0, error: null };
}

/** A name that no other upload has; `crypto.randomUUID` is not there where a page comes by plain HTTP. */
function uniqueName(): string {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(16).padStart(8, "0")).join("");
}
