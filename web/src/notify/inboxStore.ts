/**
 * The inbox of one user over one connection: what the server said (`inbox.ts`), what somebody did meanwhile, and the
 * requests in between. What somebody did shows at once, is sent one by one, in order, as often as it takes, and gives
 * way to the server's word when that has caught up.
 */

import {
  begunAnew,
  changed,
  counted,
  EMPTY,
  extended,
  fetched,
  type InboxState,
  type Mark,
  marked,
} from "./inbox.js";
import {
  type Change,
  type Counts,
  type Entry,
  type Page,
  readCounts,
  readMutes,
  readPage,
  readRefusal,
} from "./protocol.js";
import { Store } from "./store.js";

export interface Inbox {
  /** Newest first. */
  readonly entries: readonly Entry[];
  readonly unread: number;
  readonly unseen: number;
  /** False until the first page has come. */
  readonly loaded: boolean;
  readonly hasMore: boolean;
  readonly loadingMore: boolean;
  /** For people: why the last request failed. Null when one has succeeded since. */
  readonly error: string | null;
  /** Topics such as `post:7` and `user:9`; undefined until they have come. */
  readonly mutes: readonly string[] | undefined;
}

/** Sends a request; rejects with `Disconnected` where there is no connection, or it ends first. */
export type Ask = (event: string, values: object) => Promise<unknown>;

export class Disconnected extends Error {}

class Refused extends Error {
  constructor(
    message: string,
    readonly retryAfterS: number | undefined,
  ) {
    super(message);
  }
}

/** Something that somebody did; `answer` is what the server said to it. */
interface Intent {
  readonly event: string;
  readonly values: object;
  readonly mark?: Mark;
  readonly mute?: { topic: string; muted: boolean };
  answer?: Counts;
}

const PAGE_ROWS = 50;
const REFETCHED_ROWS = 100; // the most that one request gives
const REFETCHED_PAGES = 5; // what was loaded beyond them is loaded again when somebody scrolls there
const SEQS_AT_ONCE = 1000;
const AGAIN_MS = 500;
const TOLD_WITHIN_MS = 2000;

export class InboxStore extends Store<Inbox> {
  readonly #ask: Ask;
  #state: InboxState = EMPTY;
  #mutes: readonly string[] | undefined;
  /** Whether this connection has told them: another page may have changed them while there was none. */
  #areMutesKnown = false;
  #intents: readonly Intent[] = [];
  #watchers = 0;
  #connected = false;
  #fetching = false;
  #sending = false;
  #loadingMore = false;
  #error: string | null = null;
  /** The newest seq and the version at which it was last said that all was seen. */
  #saidSeen = "";

  constructor(ask: Ask) {
    super({ ...EMPTY, loaded: false, hasMore: false, loadingMore: false, error: null, mutes: undefined });
    this.#ask = ask;
  }

  // --- the connection's side ---

  /** `isResumed` where the server takes this connection for the one before, of the same past of its database. */
  connected(isResumed: boolean): void {
    this.#connected = true;
    this.#areMutesKnown = false;
    if (!isResumed) this.#beginAnew();
    this.#update(this.#state);
    void this.#send();
  }

  disconnected(): void {
    this.#connected = false;
  }

  changed(change: Change): void {
    this.#update(changed(this.#state, change));
  }

  /** What was answered before is in what this connection tells first, or in a past that is gone. */
  #beginAnew(): void {
    const { head } = this.#state;
    this.#intents = this.#intents
      .filter(({ answer }) => answer === undefined || answer.version > head)
      .map((intent) => (intent.answer ? { ...intent, answer: { ...intent.answer, version: 1 } } : intent));
    this.#state = begunAnew(this.#state);
  }

  /** For servers that tell of no changes. */
  async recount(): Promise<void> {
    const counts = readCounts(await this.#request("notifications:counts", {}).catch(() => undefined));
    if (counts) this.#update(counted(this.#state, counts));
  }

  // --- the components' side ---

  /** Entries are fetched, and kept up to date, while somebody watches: counts come without. */
  readonly watch = (): (() => void) => {
    this.#watchers += 1;
    void this.#fetch();
    return () => {
      this.#watchers -= 1;
    };
  };

  /** Fetches again, after an error. */
  readonly reload = (): void => {
    this.#update({ ...this.#state, stale: true });
  };

  readonly loadMore = async (): Promise<void> => {
    const before = this.#state.next;
    if (before === null || this.#loadingMore || !this.#state.loaded || !this.#connected) return;
    this.#loadingMore = true;
    this.#publish();
    try {
      const page = await this.#page(PAGE_ROWS, before);
      this.#loadingMore = false;
      this.#error = null;
      this.#update(extended(this.#state, before, page));
    } catch (error) {
      this.#loadingMore = false;
      this.#failed(error);
    }
  };

  readonly markSeen = (): void => {
    const newest = this.#state.entries[0]?.seq;
    if (newest === undefined || this.getSnapshot().unseen === 0) return;
    // where that leaves some unseen, they are not here yet: it would leave them again
    const said = `${newest} ${this.#state.head}`;
    if (said === this.#saidSeen) return;
    this.#saidSeen = said;
    this.#intend({
      event: "notifications:seen",
      values: { upTo: newest },
      mark: { kind: "seen", upTo: newest },
    });
  };

  /** All that is here; what arrives in the same moment is spared. */
  readonly markAllRead = (): void => {
    const newest = this.#state.entries[0]?.seq;
    if (newest !== undefined)
      this.#intend({
        event: "notifications:read",
        values: { upTo: newest },
        mark: { kind: "readUpTo", upTo: newest },
      });
  };

  readonly markRead = (seqs: readonly number[]): void => this.#intendSeqs("read", seqs);

  readonly markUnread = (seqs: readonly number[]): void => this.#intendSeqs("unread", seqs);

  readonly remove = (seqs: readonly number[]): void => this.#intendSeqs("delete", seqs);

  readonly mute = (topic: string): void =>
    this.#intend({ event: "mutes:add", values: { topic }, mute: { topic, muted: true } });

  readonly unmute = (topic: string): void =>
    this.#intend({ event: "mutes:remove", values: { topic }, mute: { topic, muted: false } });

  // --- what was said ---

  #update(state: InboxState): void {
    this.#state = state;
    const version = state.loaded ? Math.min(state.version, state.head) : state.head;
    this.#intents = this.#intents.filter(isAhead(version));
    this.#publish();
    if (state.stale || !state.loaded || !this.#areMutesKnown) void this.#fetch();
  }

  #publish(): void {
    const at = new Date().toISOString();
    // the counts may know already what the entries do not
    const { entries } = marked(this.#state, marksOf(this.#intents.filter(isAhead(this.#state.version))), at);
    const counts = marked(this.#state, marksOf(this.#intents.filter(isAhead(this.#state.head))), at);
    this.publish({
      entries,
      unread: counts.unread,
      unseen: counts.unseen,
      loaded: this.#state.loaded,
      hasMore: this.#state.next !== null,
      loadingMore: this.#loadingMore,
      error: this.#error,
      mutes: this.#mutes && this.#intents.reduce(withMute, this.#mutes),
    });
  }

  async #fetch(): Promise<void> {
    if (this.#fetching || !this.#connected || this.#watchers === 0) return;
    this.#fetching = true;
    let againInMs: number | undefined;
    try {
      if (this.#state.stale || !this.#state.loaded) {
        const pages = await this.#newestPages(this.#state.entries.length);
        this.#error = null;
        this.#update(fetched(this.#state, pages)); // the list does not wait for the mutes
        if (this.#state.stale) againInMs = AGAIN_MS;
      }
      if (!this.#areMutesKnown) {
        this.#mutes = readMutes(await this.#request("mutes:list", {})) ?? [];
        this.#areMutesKnown = true;
      }
      this.#error = null;
    } catch (error) {
      this.#failed(error);
      if (error instanceof Refused && error.retryAfterS !== undefined) againInMs = error.retryAfterS * 1000;
    }
    this.#publish();
    if (againInMs !== undefined) await new Promise((resolve) => setTimeout(resolve, againInMs));
    this.#fetching = false;
    if (againInMs !== undefined || (this.#error === null && this.#state.stale)) void this.#fetch();
  }

  async #newestPages(rows: number): Promise<[Page, ...Page[]]> {
    const first = await this.#page(Math.min(Math.max(rows, PAGE_ROWS), REFETCHED_ROWS));
    const pages: [Page, ...Page[]] = [first];
    let [last, count] = [first, first.entries.length];
    while (last.next !== null && count < rows && pages.length < REFETCHED_PAGES) {
      last = await this.#page(REFETCHED_ROWS, last.next);
      pages.push(last);
      count += last.entries.length;
    }
    return pages;
  }

  async #page(limit: number, before?: number): Promise<Page> {
    const values = before === undefined ? { limit } : { limit, before };
    const page = readPage(await this.#request("notifications:list", values));
    if (!page) throw new Refused("The server's answer could not be read.", undefined);
    return page;
  }

  // --- what somebody did ---

  #intendSeqs(kind: "read" | "unread" | "delete", seqs: readonly number[]): void {
    for (let at = 0; at < seqs.length; at += SEQS_AT_ONCE) {
      const some = seqs.slice(at, at + SEQS_AT_ONCE);
      this.#intend({ event: `notifications:${kind}`, values: { seqs: some }, mark: { kind, seqs: some } });
    }
  }

  #intend(intent: Intent): void {
    this.#intents = [...this.#intents, intent];
    this.#publish();
    void this.#send();
  }

  async #send(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    for (let intent = this.#unanswered(); intent && this.#connected; intent = this.#unanswered()) {
      try {
        const answer = await this.#request(intent.event, intent.values);
        this.#error = null;
        this.#answered(intent, answer);
      } catch (error) {
        const againAfterS = error instanceof Refused ? error.retryAfterS : undefined;
        if (error instanceof Refused && againAfterS === undefined) this.#drop(intent);
        this.#failed(error);
        this.#publish();
        if (againAfterS !== undefined)
          await new Promise((resolve) => setTimeout(resolve, againAfterS * 1000));
      }
    }
    this.#sending = false;
  }

  #unanswered(): Intent | undefined {
    return this.#intents.find(({ answer }) => answer === undefined);
  }

  #answered(intent: Intent, answer: unknown): void {
    const counts = readCounts(answer);
    if (!intent.mark || !counts) {
      if (this.#mutes) this.#mutes = withMute(this.#mutes, intent);
      this.#drop(intent);
      this.#publish();
      return;
    }
    intent.answer = counts;
    this.#update(this.#state);
    setTimeout(() => {
      if (this.#intents.includes(intent)) this.#update(counted(this.#state, counts));
    }, TOLD_WITHIN_MS);
  }

  #drop(intent: Intent): void {
    this.#intents = this.#intents.filter((other) => other !== intent);
  }

  // --- requests ---

  /** Rejects with `Refused` for what the server would not do, with `Disconnected` for what it may never have heard of. */
  async #request(event: string, values: object): Promise<unknown> {
    const answer = await this.#ask(event, values);
    const refusal = readRefusal(answer);
    if (refusal) throw new Refused(refusal.error, refusal.retryAfter);
    return answer;
  }

  #failed(error: unknown): void {
    if (error instanceof Refused) this.#error = error.message;
    else if (!(error instanceof Disconnected)) throw error;
    this.#publish();
  }
}

/** Whether the server's word on an intent, if it has come, is of a later version. */
const isAhead =
  (version: number) =>
  ({ answer }: Intent): boolean =>
    answer === undefined || answer.version > version;

const marksOf = (intents: readonly Intent[]): Mark[] =>
  intents.map(({ mark }) => mark).filter((mark) => mark !== undefined);

function withMute(mutes: readonly string[], { mute }: Intent): readonly string[] {
  if (!mute) return mutes;
  const others = mutes.filter((topic) => topic !== mute.topic);
  return mute.muted ? [mute.topic, ...others] : others;
}
