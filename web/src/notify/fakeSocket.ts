/** For tests: what `client.ts` uses of socket.io-client, with the server's side in the test's hands. */

import { vi } from "vitest";

type Handler = (...values: unknown[]) => void;
type Answer = (values: object) => unknown;
type Send = (auth: object) => void;

interface Settings {
  readonly auth: (send: Send) => void;
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class FakeSocket {
  static readonly opened: FakeSocket[] = [];
  connected = false;
  active = false;
  recovered = false;
  connects = 0;
  /** The events that were asked for, in order, and what with. */
  readonly asked: string[] = [];
  readonly requests: { readonly event: string; readonly values: object }[] = [];
  readonly io: { engine: { readyState: string; close: () => void } } = {
    engine: { readyState: "open", close: vi.fn() },
  };
  readonly #handlers = new Map<string, Handler[]>();
  readonly #answers = new Map<string, Answer>();
  #waiting: Waiting[] = [];

  constructor(
    readonly url: string | undefined,
    readonly settings: Settings,
  ) {
    FakeSocket.opened.push(this);
  }

  // --- the client's side ---

  on(event: string, handler: Handler): this {
    this.#handlers.set(event, [...(this.#handlers.get(event) ?? []), handler]);
    return this;
  }

  connect(): this {
    if (!this.active) this.connects += 1;
    this.active = true;
    return this;
  }

  disconnect(): this {
    this.drop("io client disconnect", { again: false });
    return this;
  }

  timeout(ms: number) {
    return {
      emitWithAck: (event: string, values: object): Promise<unknown> => {
        this.asked.push(event);
        this.requests.push({ event, values });
        return new Promise((resolve, reject) => {
          const answer = this.#answers.get(event);
          if (answer) resolve(answer(values));
          else this.#waiting.push({ resolve, reject });
          setTimeout(() => reject(new Error("operation has timed out")), ms);
        });
      },
    };
  }

  // --- the server's side ---

  says(event: string, ...values: unknown[]): void {
    for (const handler of this.#handlers.get(event) ?? []) handler(...values);
  }

  /** From now on; an event without an answer is left waiting. */
  answers(event: string, answer: Answer): void {
    this.#answers.set(event, answer);
  }

  accept({ recovered = false } = {}): void {
    Object.assign(this, { connected: true, active: true, recovered });
    this.says("connect");
  }

  drop(reason = "transport close", { again = true } = {}): void {
    const wasConnected = this.connected;
    this.connected = false;
    this.active = again;
    if (wasConnected) this.says("disconnect", reason);
    for (const { reject } of this.#waiting.splice(0)) reject(new Error("socket has been disconnected"));
  }

  fails(error: Error, { again }: { again: boolean }): void {
    this.active = again;
    this.says("connect_error", error);
  }

  /** What the client would send to prove who it is. */
  auth(): Promise<object> {
    return new Promise((resolve) => this.settings.auth(resolve));
  }
}

/** In the place of the module: `vi.mock("socket.io-client", async () => (await import("./fakeSocket.js")).library)`. */
export const library = {
  io: (first: string | Settings, second?: Settings) =>
    typeof first === "string" ? new FakeSocket(first, second as Settings) : new FakeSocket(undefined, first),
};
