import { describe, expect, test } from "vitest";
import { changed, counted, EMPTY, extended, fetched, type InboxState, marked } from "./inbox.js";
import type { Change, Entry, Page } from "./protocol.js";

const AT = "2026-11-23T10:00:00.000Z";

function entryOf(seq: number, over: Partial<Entry> = {}): Entry {
  const empty = { topic: null, actor: null, payload: {}, createdAt: AT, seenAt: null, readAt: null };
  return { seq, type: "comment", ...empty, ...over };
}

const pageOf = (version: number, seqs: number[], next: number | null = null): Page => ({
  version,
  unread: seqs.length,
  unseen: seqs.length,
  entries: seqs.map((seq) => entryOf(seq)),
  next,
});

const counts = { unread: 0, unseen: 0 };
const step = (from: number, what: Partial<Change>): Change => ({ from, to: from + 1, ...counts, ...what });
const position = (at: number): Change => ({ from: at, to: at, ...counts });
const seqsOf = (state: { entries: readonly Entry[] }) => state.entries.map((entry) => entry.seq);
const isRight = (state: InboxState, seqs: number[]) => {
  expect({ seqs: seqsOf(state), stale: state.stale }).toEqual({ seqs, stale: false });
};

describe("a change", () => {
  const loaded = fetched(EMPTY, [pageOf(5, [3, 2, 1])]);

  test("that follows is applied", () => {
    isRight(changed(loaded, step(5, { added: [entryOf(4)] })), [4, 3, 2, 1]);
    isRight(changed(loaded, step(5, { removed: [2] })), [3, 1]);
  });

  test("that leaves a gap makes the inbox stale, and alters nothing", () => {
    const state = changed(loaded, step(6, { added: [entryOf(5)] }));
    expect(state).toMatchObject({ stale: true, version: 5, head: 7 });
    expect(seqsOf(state)).toEqual([3, 2, 1]);
  });

  test("that is known already, or ends where we are, alters nothing", () => {
    expect(changed(loaded, step(4, { added: [entryOf(3)] }))).toBe(loaded);
    expect(changed(loaded, { ...step(2, { removed: [1] }), to: 5 })).toBe(loaded);
  });

  test("that overlaps with what is known makes the inbox stale", () => {
    expect(changed(loaded, { from: 4, to: 7, ...counts, reload: true }).stale).toBe(true);
  });

  test("of several versions is one step", () => {
    const state = changed(loaded, { from: 5, to: 9, ...counts, removed: [1, 3] });
    isRight(state, [2]);
    expect(state.version).toBe(9);
  });

  test("of kind reload makes the inbox stale, and those after it are applied all the same", () => {
    const state = changed(changed(loaded, step(5, { reload: true })), step(6, { added: [entryOf(4)] }));
    expect(state).toMatchObject({ stale: true, version: 7 });
  });

  test("gives its counts unless later ones are known", () => {
    const later = changed(loaded, step(7, { unread: 9, removed: [3] }));
    expect(later.unread).toBe(9);
    expect(changed(later, step(5, { unread: 1, removed: [2] })).unread).toBe(9);
  });

  test("marks as seen up to a seq, as read what it names, which is seen by that, and as unread again", () => {
    const seen = changed(loaded, step(5, { markedSeen: { upTo: 2, at: AT } }));
    expect(seen.entries.map((entry) => entry.seenAt)).toEqual([null, AT, AT]);
    const read = changed(seen, step(6, { markedRead: { seqs: [3], at: AT } }));
    expect(read.entries[0]).toMatchObject({ seenAt: AT, readAt: AT });
    const unread = changed(read, step(7, { markedUnread: { seqs: [3] } }));
    expect(unread.entries[0]).toMatchObject({ seenAt: AT, readAt: null });
  });
});

describe("the position that a connection begins with", () => {
  const loaded = fetched(EMPTY, [pageOf(5, [3, 2, 1])]);

  test("asks for nothing where we are at it", () => {
    expect(changed(loaded, position(5)).stale).toBe(false);
  });

  test("makes the inbox stale where it is elsewhere, later or in another past", () => {
    expect(changed(loaded, position(6)).stale).toBe(true);
    expect(changed(loaded, position(2))).toMatchObject({ stale: true, head: 2 });
  });

  test("in another past makes a page of that past the truth", () => {
    isRight(fetched(changed(loaded, position(2)), [pageOf(2, [1])]), [1]);
  });
});

describe("a page", () => {
  test("that is older than the changes which came meanwhile has them applied", () => {
    const meanwhile = [step(5, { added: [entryOf(4)] }), step(6, { removed: [2] })];
    const state = fetched(meanwhile.reduce(changed, changed(EMPTY, position(5))), [pageOf(5, [3, 2, 1])]);
    isRight(state, [4, 3, 1]);
    expect(state.version).toBe(7);
  });

  test("that is newer than what was told takes no harm from what is told late", () => {
    const state = fetched(changed(EMPTY, position(5)), [pageOf(7, [4, 3, 1])]);
    isRight([step(5, { added: [entryOf(4)] }), step(6, { removed: [2] })].reduce(changed, state), [4, 3, 1]);
  });

  test("that is older than what was told is stale", () => {
    expect(fetched(changed(EMPTY, position(6)), [pageOf(5, [3])]).stale).toBe(true);
  });

  test("from before a reload is stale", () => {
    const state = changed(changed(EMPTY, position(5)), step(5, { reload: true }));
    expect(fetched(state, [pageOf(5, [3])]).stale).toBe(true);
  });
});

describe("an older page", () => {
  const loaded = fetched(EMPTY, [pageOf(5, [9, 8], 8)]);

  test("goes below, and what changed since is applied to it", () => {
    const state = changed(loaded, step(5, { removed: [7, 9] }));
    isRight(extended(state, 8, pageOf(5, [7, 6])), [8, 6]);
  });

  test("that somebody no longer asks for is left out", () => {
    const state = fetched(loaded, [pageOf(6, [9, 8, 7], 7)]);
    expect(extended(state, 8, pageOf(6, [7, 6]))).toBe(state);
  });

  test("has what was added in its range since", () => {
    const state = changed(loaded, step(5, { added: [entryOf(6)] }));
    isRight(extended(state, 8, pageOf(5, [7, 5], 5)), [9, 8, 7, 6, 5]);
    isRight(extended(state, 8, pageOf(5, [7], 7)), [9, 8, 7]);
  });

  test("is stale where a change since then is not known", () => {
    const late = pageOf(5, [7, 6]);
    const missed = [step(5, { removed: [8] }), step(7, { removed: [9] })].reduce(changed, loaded);
    expect(extended(fetched(missed, [pageOf(8, [], 8)]), 8, late).stale).toBe(true);
  });

  test("is stale where it cannot be told what has changed since", () => {
    const told = changed(loaded, step(5, { reload: true }));
    expect(extended(fetched(told, [pageOf(6, [9, 8], 8)]), 8, pageOf(5, [7, 6])).stale).toBe(true);
  });
});

describe("what is added below", () => {
  test("the loaded range is left to the page that has it", () => {
    const loaded = fetched(EMPTY, [pageOf(5, [9, 8], 8)]);
    isRight(changed(loaded, step(5, { added: [entryOf(3)] })), [9, 8]);
  });

  test("the oldest that is left, in the loaded range, belongs to it", () => {
    const without = changed(fetched(EMPTY, [pageOf(5, [9, 8], 8)]), step(5, { removed: [8] }));
    isRight(changed(without, step(6, { added: [entryOf(8)] })), [9, 8]);
  });

  test("a range in which all were deleted is left to the page that has it", () => {
    const empty = changed(fetched(EMPTY, [pageOf(5, [9, 8], 8)]), step(5, { removed: [8, 9] }));
    const state = changed(empty, step(6, { added: [entryOf(3)] }));
    isRight(extended(state, 8, pageOf(7, [4, 3])), [4, 3]);
  });
});

test("counts that are ahead make the inbox stale, those behind say nothing", () => {
  const loaded = fetched(EMPTY, [pageOf(5, [3])]);
  expect(counted(loaded, { version: 6, unread: 4, unseen: 2 })).toMatchObject({ stale: true, unread: 4 });
  expect(counted(loaded, { version: 4, unread: 4, unseen: 2 })).toBe(loaded);
});

describe("a mark", () => {
  const loaded = { ...fetched(EMPTY, [pageOf(5, [9, 8], 8)]), unread: 7, unseen: 5 };

  test("of seqs counts only what it changes", () => {
    expect(marked(loaded, [{ kind: "read", seqs: [9, 1] }], AT)).toMatchObject({ unread: 6, unseen: 4 });
    expect(marked(loaded, [{ kind: "delete", seqs: [9] }], AT)).toMatchObject({ unread: 6, unseen: 4 });
    const twice = marked(
      loaded,
      [
        { kind: "read", seqs: [9] },
        { kind: "read", seqs: [9] },
      ],
      AT,
    );
    expect(twice.unread).toBe(6);
    const back = marked(
      loaded,
      [
        { kind: "read", seqs: [9] },
        { kind: "unread", seqs: [9] },
      ],
      AT,
    );
    expect(back).toMatchObject({ unread: 7, unseen: 4 });
  });

  test("up to a seq reaches beyond what is loaded", () => {
    expect(marked(loaded, [{ kind: "readUpTo", upTo: 8 }], AT)).toMatchObject({ unread: 1, unseen: 1 });
    expect(marked(loaded, [{ kind: "seen", upTo: 9 }], AT)).toMatchObject({ unread: 7, unseen: 0 });
  });
});
