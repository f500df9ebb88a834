/** For tests: a server's inbox, all its past moments, and what it says of them. */

import type { Change, Entry, Page } from "./protocol.js";

const AT = "2026-11-23T10:00:00.000Z";

/** mulberry32: the same run for the same seed. */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * below);
  };
}

export interface Moment {
  readonly entries: readonly Entry[];
  readonly unread: number;
  readonly unseen: number;
}

export class ModelServer {
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
