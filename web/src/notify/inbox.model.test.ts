/** A server's inbox and a client's, through whatever can happen to what is said between them. */

import { expect, test } from "vitest";
import { begunAnew, changed, EMPTY, extended, fetched, type InboxState } from "./inbox";
import type { Change, Entry, Page } from "./protocol";

const AT = "2026-11-23T10:00:00.000Z";
const ROWS = 4;
const RUNS = 400;
const STEPS = 60;

/** mulberry32: the same run for the same seed. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below);
  };
}

interface Moment {
  readonly entries: readonly Entry[];
  readonly unread: number;
  readonly unseen: number;
}

class Server {
  version = 0;
  lastSeq = 0;
  /** By version, in this past of the database. */
  history: Moment[] = [{ entries: [], unread: 0, unseen: 0 }];

  get now(): Moment {
    return this.history[this.version] as Moment;
  }

  #become(entries: readonly Entry[], what: Partial<Change>): Change {
    const unread = entries.filter((entry) => entry.readAt === null).length;
    const unseen = entries.filter((entry) => entry.seenAt === null).length;
    const from = this.version;
    this.version += 1;
    this.history[this.version] = { entries, unread, unseen };
    return { from, to: this.version, unread, unseen, ...what };
  }

  deliver(count: number): Change {
    const added = Array.from({ length: count }, (): Entry => {
      this.lastSeq += 1;
      const seq = this.lastSeq;
      const empty = { topic: null, actor: null, payload: {}, seenAt: null, readAt: null };
      return { seq, type: "comment", createdAt: AT, ...empty };
    });
    return this.#become([...added.toReversed(), ...this.now.entries], { added });
  }

  /** What had been deleted comes back, where it was. */
  undelete(entry: Entry): Change {
    const entries = [entry, ...this.now.entries].sort((a, b) => b.seq - a.seq);
    return this.#become(entries, { added: [entry] });
  }

  remove(seqs: number[]): Change {
    return this.#become(
      this.now.entries.filter((entry) => !seqs.includes(entry.seq)),
      { removed: seqs },
    );
  }

  read(of: (entry: Entry) => boolean): Change {
    const seqs = this.now.entries.filter((one) => one.readAt === null && of(one)).map((one) => one.seq);
    const entries = this.now.entries.map((entry) =>
      seqs.includes(entry.seq) ? { ...entry, readAt: AT, seenAt: entry.seenAt ?? AT } : entry,
    );
    return this.#become(entries, { markedRead: { seqs, at: AT } });
  }

  unread(seqs: number[]): Change {
    const entries = this.now.entries.map((entry) =>
      seqs.includes(entry.seq) ? { ...entry, readAt: null } : entry,
    );
    return this.#become(entries, { markedUnread: { seqs } });
  }

  see(upTo: number): Change {
    const entries = this.now.entries.map((entry) =>
      entry.seq <= upTo && entry.seenAt === null ? { ...entry, seenAt: AT } : entry,
    );
    return this.#become(entries, { markedSeen: { upTo, at: AT } });
  }

  /** Steps of which it is not told what they were. */
  fold(changes: Change[]): Change {
    const { unread, unseen } = this.now;
    return { from: changes[0]?.from ?? this.version, to: this.version, unread, unseen, reload: true };
  }

  position(): Change {
    const { unread, unseen } = this.now;
    return { from: this.version, to: this.version, unread, unseen };
  }

  page(limit: number, before = Number.POSITIVE_INFINITY): Page {
    const { entries, unread, unseen } = this.now;
    const below = entries.filter((entry) => entry.seq < before);
    const shown = below.slice(0, limit);
    const next = below.length > limit ? (shown.at(-1)?.seq ?? null) : null;
    return { version: this.version, unread, unseen, entries: shown, next };
  }

  /** As a dump from before was put back. */
  restore(version: number): void {
    this.history = this.history.slice(0, version + 1);
    this.version = version;
    this.lastSeq = this.now.entries[0]?.seq ?? 0;
  }
}

/** An answer that is under way. */
type Answer = { before: undefined; pages: [Page, ...Page[]] } | { before: number; page: Page };

function run(seed: number): void {
  const pick = random(seed);
  const server = new Server();
  const deleted: Entry[] = [];
  let client: InboxState = EMPTY;
  let changes: Change[] = [];
  let answers: Answer[] = [];
  let newestPage = 0;

  const someSeqs = () =>
    server.now.entries.filter((entry) => entry.seq === 1 || pick(3) === 0).map((entry) => entry.seq);

  const act = (): Change => {
    const kind = pick(7);
    const seqs = someSeqs();
    if (kind === 0 && deleted.length > 0) return server.undelete(deleted.splice(0, 1)[0] as Entry);
    if (kind === 1 && seqs.length > 0) {
      deleted.push(...server.now.entries.filter((entry) => seqs.includes(entry.seq)));
      return server.remove(seqs);
    }
    if (kind === 2) return server.read((entry) => seqs.includes(entry.seq));
    if (kind === 3) return server.read((entry) => entry.seq <= pick(server.lastSeq + 1));
    if (kind === 4) return server.unread(seqs);
    if (kind === 5) return server.see(pick(server.lastSeq + 1));
    return server.deliver(1 + pick(3));
  };

  const change = () => {
    if (pick(8) > 0) changes.push(act());
    else changes.push(server.fold(Array.from({ length: 1 + pick(3) }, act)));
  };

  const tell = () => {
    const [next] = changes.splice(0, 1);
    if (next) client = changed(client, next);
  };

  const askNewest = () => {
    const pages: [Page, ...Page[]] = [server.page(ROWS)];
    while (pick(2) === 0 && pages.at(-1)?.next) {
      if (pick(3) === 0) change(); // between one page and the next
      pages.push(server.page(ROWS, pages.at(-1)?.next ?? undefined));
    }
    answers.push({ before: undefined, pages });
  };

  const askOlder = () => {
    if (client.loaded && client.next !== null)
      answers.push({ before: client.next, page: server.page(ROWS, client.next) });
  };

  const answer = () => {
    const [next] = answers.splice(pick(answers.length), 1);
    if (!next) return;
    if (next.before === undefined) {
      newestPage = Math.max(...next.pages.map((page) => page.version));
      client = fetched(client, next.pages);
    } else {
      if (client.next === next.before) newestPage = Math.max(newestPage, next.page.version);
      client = extended(client, next.before, next.page);
    }
  };

  const reconnect = () => {
    answers = [];
    const isRestored = pick(4) === 0;
    if (isRestored) {
      server.restore(pick(server.version + 1));
      deleted.length = 0;
    }
    if (isRestored || pick(2) === 0) {
      client = begunAnew(client);
      newestPage = 0;
    }
    changes = [server.position()];
  };

  const check = () => {
    const seqs = client.entries.map((entry) => entry.seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => b - a));
    if (!client.loaded || client.stale) return;
    const { unread, unseen } = server.history[client.head] as Moment;
    expect({ unread: client.unread, unseen: client.unseen }).toEqual({ unread, unseen });
    if (client.version < newestPage) return; // a part of it is ahead, and what comes will take it there
    const then = server.history[client.version] as Moment;
    expect(client.entries).toEqual(then.entries.filter((entry) => entry.seq >= (client.next ?? 0)));
  };

  const often = [change, change, change, tell, tell, tell, tell, answer, answer, askNewest, askOlder];
  for (let at = 0; at < STEPS; at += 1) {
    const rarely = pick(25);
    if (rarely === 0) reconnect();
    else if (rarely === 1) changes.splice(pick(changes.length), 1 + pick(2));
    else often[pick(often.length)]?.();
    check();
  }

  // calm
  while (answers.length > 0) answer();
  changes.push(server.position());
  while (changes.length > 0) tell();
  if (client.stale || !client.loaded) client = fetched(client, [server.page(ROWS)]);
  while (client.next !== null) client = extended(client, client.next, server.page(ROWS, client.next));
  const { entries, unread, unseen } = server.now;
  expect(client).toMatchObject({ stale: false, version: server.version, head: server.version });
  expect({ entries: client.entries, unread: client.unread, unseen: client.unseen }).toEqual({
    entries,
    unread,
    unseen,
  });
}

test("whatever is lost, late or restored, the inbox is stale or right, and right in the end", () => {
  for (let seed = 1; seed <= RUNS; seed += 1) {
    try {
      run(seed);
    } catch (error) {
      throw new Error(`in the run of seed ${seed}`, { cause: error });
    }
  }
});
