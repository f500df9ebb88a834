/**
 * One user's connection: one socket, each notification handed on once, and the inbox kept in step.
 *
 * The server tells a socket where the inbox is (`notifications:changed` with `from` = `to`) when it has caught up.
 */

import { io, type ManagerOptions, type Socket, type SocketOptions } from "socket.io-client";
import { Disconnected, InboxStore } from "./inboxStore.js";
import { isFirstInBrowser } from "./oncePerBrowser.js";
import { type Notification, readChange, readNotification, readOffset } from "./protocol.js";
import { Store } from "./store.js";

/** `offline` comes back by itself; `refused` does not, because the server does not accept who this says it is. */
export type Status = "connecting" | "catching up" | "live" | "offline" | "refused";

export interface Connection {
  readonly status: Status;
  /** How many notifications this connection brought that had been missed before it. */
  readonly caughtUp: number;
  /** Why it was refused, for people. */
  readonly problem: string | null;
}

export interface Arrival {
  /** Its place in the inbox; undefined where the server sends none (`RECOVERY=false`, or the server before). */
  readonly seq: number | undefined;
  /** Whether it had been missed, and this connection brought it. */
  readonly caughtUp: boolean;
}

export type Listener = (notification: Notification, arrival: Arrival) => void;

export interface NotifyOptions {
  /** The server's origin; by default the page's own. */
  url?: string | undefined;
  /** What proves who the user is, beside `userId`: `{ token }`, or a function that gives it for each connection. */
  auth?: object | (() => object | Promise<object>) | undefined;
  /** Called once for each notification. */
  onNotification?: Listener | undefined;
  /** Whether `onNotification` is called in one tab of this browser only, the one in front if there is one. */
  oncePerBrowser?: boolean | undefined;
  /** Options of socket.io-client: `path`, `withCredentials`, `transports`. Read once. */
  socket?: Partial<ManagerOptions & SocketOptions> | undefined;
}

const ANSWER_MS = 10_000;
const QUIET_MS = 3000;

/**
 * The highest seq that was handed on, by server, user and database. A client that is opened when another one has been
 * closed goes on from there; two that are open at once are two windows, and each is told.
 */
type HandedOn = Map<string, number>;

const byThoseBefore: HandedOn = new Map();

export class NotifyClient extends Store<Connection> {
  /** Null where nobody is known yet; it is not opened then. */
  readonly userId: string | null;
  readonly socket: Socket;
  readonly inbox: InboxStore;
  /** May be replaced at any time; what is in use is read from here. */
  options: NotifyOptions;
  readonly #listeners = new Set<Listener>();
  #handedOn: HandedOn = new Map();
  #quiet: ReturnType<typeof setTimeout> | undefined;

  constructor(userId: string | number | null, options: NotifyOptions = {}) {
    super({ status: "connecting", caughtUp: 0, problem: null });
    this.userId = userId === null ? null : String(userId);
    this.options = options;
    const settings = {
      ...options.socket,
      autoConnect: false,
      forceNew: true,
      auth: (send: (auth: object) => void) => void this.#authenticate(userId, send),
    };
    this.socket = options.url === undefined ? io(settings) : io(options.url, settings);
    this.inbox = new InboxStore(this.#ask);
    this.socket
      .on("connect", this.#connected)
      .on("disconnect", this.#disconnected)
      .on("connect_error", this.#notConnected)
      .on("notification", this.#notified)
      .on("notifications:changed", this.#inboxChanged);
  }

  /** Connects, until what it returns is called. Not at once: React's StrictMode mounts, unmounts and mounts again. */
  readonly open = (): (() => void) => {
    const timer = setTimeout(() => {
      this.#handedOn = new Map(byThoseBefore);
      this.socket.connect();
    });
    return () => {
      clearTimeout(timer);
      clearTimeout(this.#quiet);
      this.socket.disconnect();
      for (const [stream, seq] of this.#handedOn)
        byThoseBefore.set(stream, Math.max(seq, byThoseBefore.get(stream) ?? 0));
    };
  };

  /** After it was refused, when `options.auth` has something better to say. */
  readonly reconnect = (): void => {
    this.socket.connect();
  };

  /** Is told what `onNotification` is, until what it returns is called. */
  readonly listen = (listener: Listener): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  async #authenticate(userId: string | number | null, send: (auth: object) => void): Promise<void> {
    const { auth } = this.options;
    const { engine } = this.socket.io;
    const isGone = () => engine !== this.socket.io.engine || engine.readyState !== "open";
    try {
      const more = typeof auth === "function" ? await auth() : auth;
      if (!isGone()) send({ ...more, userId });
    } catch {
      if (!isGone()) engine.close(); // tried again, as any connection that fails
    }
  }

  readonly #ask = async (event: string, values: object): Promise<unknown> => {
    if (!this.socket.connected) throw new Disconnected();
    try {
      return await this.socket.timeout(ANSWER_MS).emitWithAck(event, values);
    } catch (error) {
      if (this.socket.connected)
        return { error: "The server does not answer.", code: "timeout", retryAfter: 1 };
      throw new Disconnected("the connection ended", { cause: error });
    }
  };

  #set(connection: Partial<Connection>): void {
    this.publish({ ...this.getSnapshot(), ...connection });
  }

  readonly #connected = (): void => {
    this.#set({ status: "catching up", caughtUp: 0, problem: null });
    this.inbox.connected(this.socket.recovered);
    this.#awaitWord();
  };

  readonly #disconnected = (reason: string): void => {
    clearTimeout(this.#quiet);
    this.inbox.disconnected();
    if (this.socket.active) this.#set({ status: "offline" });
    else this.#set({ status: reason === "io client disconnect" ? "connecting" : "refused" });
  };

  readonly #notConnected = (error: Error): void => {
    if (this.socket.active) this.#set({ status: "offline" });
    else this.#set({ status: "refused", problem: error.message });
  };

  readonly #inboxChanged = (value: unknown): void => {
    const change = readChange(value);
    if (!change) return;
    clearTimeout(this.#quiet);
    this.#set({ status: "live" });
    this.inbox.changed(change);
  };

  /** A server under `RECOVERY=false` tells of no changes: it is asked. */
  #awaitWord(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => {
      this.#set({ status: "live" });
      void this.inbox.recount();
    }, QUIET_MS);
  }

  readonly #notified = (value: unknown, offset?: unknown): void => {
    const notification = readNotification(value);
    if (!notification) return;
    const place = readOffset(offset);
    const { status, caughtUp } = this.getSnapshot();
    if (!place || status === "catching up") this.#awaitWord();
    const stream = `${this.options.url ?? ""} ${this.userId} ${place?.tag}`;
    if (place) {
      if (place.seq <= (this.#handedOn.get(stream) ?? 0)) return;
      this.#handedOn.set(stream, place.seq);
    }
    const isCaughtUp = status === "catching up";
    if (isCaughtUp) this.#set({ caughtUp: caughtUp + 1 });
    const isFirst = place && this.options.oncePerBrowser ? isFirstInBrowser(`${stream} ${place.seq}`) : true;
    const arrival = { seq: place?.seq, caughtUp: isCaughtUp };
    // not in here: socket.io-client would forget its place where one throws; nor one after the other, as one that throws
    // is to stop no other
    const tell = (listener: Listener) =>
      void Promise.resolve(isFirst).then((first) => first && listener(notification, arrival));
    for (const listener of this.#listeners) tell(listener);
    tell((...what) => this.options.onNotification?.(...what));
  };
}
