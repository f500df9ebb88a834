/**
 * An inbox as this client knows it: a pure function of what the server said, in any order of arrival.
 *
 * - `entries` are newest first, without a gap from the newest down to `next`, and as of `version`. `head` is the latest
 *   version that the server told of on this connection, and that of the counts.
 * - A change applies when it begins at `version`; one that ends at or before it is in `entries` already; any other means
 *   that something was missed. The inbox is `stale` then, and until it is fetched again.
 * - A page may be older or newer than what is known: the `recent` changes that it cannot hold are applied to it.
 *   Applying one twice does no harm.
 */

import type { Change, Counts, Entry, Page } from "./protocol.js";

export interface InboxState {
  readonly head: number;
  readonly version: number;
  readonly unread: number;
  readonly unseen: number;
  readonly entries: readonly Entry[];
  readonly next: number | null;
  /** Whether `entries`, `next` and `version` say anything. */
  readonly loaded: boolean;
  readonly stale: boolean;
  readonly recent: readonly Change[];
}

export const EMPTY: InboxState = {
  head: 0,
  version: 0,
  unread: 0,
  unseen: 0,
  entries: [],
  next: null,
  loaded: false,
  stale: false,
  recent: [],
};

const RECENT = 200;

export function changed(state: InboxState, change: Change): InboxState {
  const { from, to, unread, unseen } = change;
  // where the inbox is, told to each connection: another past of the database may be behind the one before
  if (from === to)
    return { ...state, unread, unseen, head: to, recent: [], stale: state.stale || to !== state.version };
  const told = to > state.head ? { ...state, unread, unseen, head: to } : state;
  const known = { ...told, recent: [...told.recent, change].slice(-RECENT) };
  if (!state.loaded) return known;
  if (to <= state.version) return told;
  if (from !== state.version) return { ...known, stale: true };
  const entries = applied(state.entries, change, state.next);
  return { ...known, version: to, entries, stale: state.stale || change.reload === true };
}

/** On a connection that does not resume the one before: its versions may be those of another past of the database. */
export function begunAnew(state: InboxState): InboxState {
  return { ...state, version: 0, head: 0, recent: [], stale: state.loaded };
}

/** Counts that the server was asked for; where they are ahead of what is known, something was missed. */
export function counted(state: InboxState, { unread, unseen, version }: Counts): InboxState {
  if (version < state.head) return state;
  return { ...state, unread, unseen, head: version, stale: state.stale || version !== state.version };
}

/** The newest pages, fetched one behind the other: `pages[0]` is the top. */
export function fetched(state: InboxState, pages: readonly [Page, ...Page[]]): InboxState {
  const { version, unread, unseen } = pages[0];
  const counts = version >= state.head ? { unread, unseen, head: version } : {};
  const whole = {
    ...state,
    ...counts,
    version,
    entries: pages.flatMap((page) => page.entries),
    next: pages.at(-1)?.next ?? null,
    loaded: true,
    stale: false,
  };
  const now = state.recent.filter((change) => change.to > version).reduce(changed, whole);
  return { ...now, stale: now.stale || now.version < now.head, recent: state.recent };
}

/** The page behind `next`. */
export function extended(state: InboxState, before: number, page: Page): InboxState {
  if (!state.loaded || state.next !== before) return state;
  const since = state.recent.filter((change) => change.to > page.version);
  const reached = since.reduce(
    (at, { from, to, reload }) => (from === at && !reload ? to : at),
    page.version,
  );
  const older = since.reduce(
    (entries, change) => applied(entries, change, page.next, before),
    page.entries as readonly Entry[],
  );
  const stale = state.stale || reached < state.version;
  return { ...state, entries: [...state.entries, ...older], next: page.next, stale };
}

/** `entries` are all from the seq `next`, or the oldest there is, to the one below `before`. */
function applied(
  entries: readonly Entry[],
  change: Change,
  next: number | null,
  before = Number.POSITIVE_INFINITY,
): readonly Entry[] {
  const { added, removed, markedSeen, markedRead, markedUnread } = change;
  if (added) {
    const known = new Set(entries.map((entry) => entry.seq));
    const fresh = added.filter(
      ({ seq }) => seq >= (next ?? Number.NEGATIVE_INFINITY) && seq < before && !known.has(seq),
    );
    return fresh.length === 0 ? entries : [...fresh, ...entries].sort((a, b) => b.seq - a.seq);
  }
  if (removed) return withoutSeqs(entries, removed);
  if (markedSeen) return withSeen(entries, markedSeen.upTo, markedSeen.at);
  if (markedRead) return withRead(entries, memberOf(markedRead.seqs), markedRead.at);
  if (markedUnread) return withUnread(entries, markedUnread.seqs);
  return entries;
}

function memberOf(seqs: readonly number[]): (entry: Entry) => boolean {
  const set = new Set(seqs);
  return (entry) => set.has(entry.seq);
}

function withoutSeqs(entries: readonly Entry[], seqs: readonly number[]): readonly Entry[] {
  const gone = memberOf(seqs);
  return entries.filter((entry) => !gone(entry));
}

function withSeen(entries: readonly Entry[], upTo: number, at: string): readonly Entry[] {
  return entries.map((entry) =>
    entry.seq <= upTo && entry.seenAt === null ? { ...entry, seenAt: at } : entry,
  );
}

function withRead(entries: readonly Entry[], of: (entry: Entry) => boolean, at: string): readonly Entry[] {
  return entries.map((entry) =>
    entry.readAt === null && of(entry) ? { ...entry, readAt: at, seenAt: entry.seenAt ?? at } : entry,
  );
}

function withUnread(entries: readonly Entry[], seqs: readonly number[]): readonly Entry[] {
  const of = memberOf(seqs);
  return entries.map((entry) => (of(entry) && entry.readAt !== null ? { ...entry, readAt: null } : entry));
}

/** What somebody did here and the server has not yet said itself. */
export type Mark =
  | { kind: "seen"; upTo: number }
  | { kind: "readUpTo"; upTo: number }
  | { kind: "read"; seqs: readonly number[] }
  | { kind: "unread"; seqs: readonly number[] }
  | { kind: "delete"; seqs: readonly number[] };

export interface InboxView {
  readonly entries: readonly Entry[];
  readonly unread: number;
  readonly unseen: number;
}

/** The inbox as it will be when the marks have been carried out. `at` is shown as their time meanwhile. */
export function marked(state: InboxState, marks: readonly Mark[], at: string): InboxView {
  return marks.reduce<InboxView>((view, mark) => markedOnce(view, mark, at), state);
}

function markedOnce(view: InboxView, mark: Mark, at: string): InboxView {
  const entries = markedEntries(view.entries, mark, at);
  const [before, after] = [tally(view.entries), tally(entries)];
  const shift = {
    entries,
    unread: Math.max(0, view.unread + after.unread - before.unread),
    unseen: Math.max(0, view.unseen + after.unseen - before.unseen),
  };
  // these reach beyond what is loaded, down to the oldest
  if (mark.kind === "seen") return { ...shift, unseen: tally(above(entries, mark.upTo)).unseen };
  if (mark.kind === "readUpTo") return { entries, ...tally(above(entries, mark.upTo)) };
  return shift;
}

function markedEntries(entries: readonly Entry[], mark: Mark, at: string): readonly Entry[] {
  switch (mark.kind) {
    case "seen":
      return withSeen(entries, mark.upTo, at);
    case "readUpTo":
      return withRead(entries, (entry) => entry.seq <= mark.upTo, at);
    case "read":
      return withRead(entries, memberOf(mark.seqs), at);
    case "unread":
      return withUnread(entries, mark.seqs);
    case "delete":
      return withoutSeqs(entries, mark.seqs);
  }
}

function above(entries: readonly Entry[], seq: number): readonly Entry[] {
  return entries.filter((entry) => entry.seq > seq);
}

function tally(entries: readonly Entry[]): { unread: number; unseen: number } {
  return {
    unread: entries.filter((entry) => entry.readAt === null).length,
    unseen: entries.filter((entry) => entry.seenAt === null).length,
  };
}
