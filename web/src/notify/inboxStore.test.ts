import { beforeEach, expect, test, vi } from "vitest";
import { Disconnected, InboxStore } from "./inboxStore.js";
import type { Change } from "./protocol.js";

const AT = "2026-11-23T10:00:00.000Z";

interface Asked {
  readonly event: string;
  readonly values: Record<string, unknown>;
  readonly answer: (value: unknown) => Promise<void>;
  readonly cut: () => Promise<void>;
}

let asked: Asked[];
let store: InboxStore;

const settle = async (): Promise<void> => {
  await vi.advanceTimersByTimeAsync(0);
};

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  store = new InboxStore(
    (event, values) =>
      new Promise((resolve, reject) => {
        asked.push({
          event,
          values: values as Record<string, unknown>,
          answer: (value) => {
            resolve(value);
            return settle();
          },
          cut: () => {
            reject(new Disconnected());
            return settle();
          },
        });
      }),
  );
});

const rowOf = (seq: number, over: object = {}) => ({
  seq,
  type: "comment",
  topic: "post:7",
  actor: "user:9",
  payload: { message: `message ${seq}` },
  createdAt: AT,
  seenAt: AT,
  readAt: null,
  ...over,
});

const down = (from: number, count: number) => Array.from({ length: count }, (_, at) => from - at);

function pageOf(version: number, seqs: number[], over: object = {}) {
  const counts = { unread: seqs.length, unseen: 0, version };
  return { ok: true, notifications: seqs.map((seq) => rowOf(seq)), next: null, ...counts, ...over };
}

const events = () => asked.map(({ event }) => event);
const last = () => asked.at(-1) as Asked;
const view = () => store.getSnapshot();
const seqs = () => view().entries.map((entry) => entry.seq);
const unreadSeqs = () => view().entries.flatMap((entry) => (entry.readAt === null ? [entry.seq] : []));
const counted = (version: number, unread: number, unseen = 0) => ({ ok: true, version, unread, unseen });
const changeOf = (from: number, unread: number, what: Partial<Change> = {}): Change => ({
  from,
  to: from + 1,
  unread,
  unseen: 0,
  ...what,
});
const position = (at: number, unread = 0) => changeOf(at, unread, { to: at });

/** A store that is watched, connected, and has these. */
async function open(version = 5, these = [3, 2, 1], over: object = {}): Promise<void> {
  store.watch();
  store.connected(false);
  await last().answer(pageOf(version, these, over));
  await last().answer({ ok: true, mutes: [] });
  store.changed(position(version, these.length));
  asked = [];
}

function goOffline(): Promise<void> {
  store.disconnected();
  const under = asked.at(-1);
  return under ? under.cut() : Promise.resolve();
}

test("nothing is asked while nobody watches, and the counts come all the same", async () => {
  store.connected(false);
  store.changed(position(5, 4));
  store.changed(changeOf(5, 5, { added: [] }));
  store.changed(changeOf(8, 6, { reload: true }));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(view()).toMatchObject({ unread: 6, loaded: false });
  expect(asked).toEqual([]);
});

test("who watches gets the newest page and the mutes by one request each", async () => {
  await open();
  expect(seqs()).toEqual([3, 2, 1]);
  expect(view()).toMatchObject({ unread: 3, loaded: true, hasMore: false, error: null, mutes: [] });
  store.watch();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toEqual([]);
});

test("who watches before there is a connection is served when there is one", async () => {
  store.watch();
  await settle();
  expect(asked).toEqual([]);
  store.connected(false);
  expect(events()).toEqual(["notifications:list"]);
});

test("one who has stopped to watch is asked for nothing more", async () => {
  const stop = store.watch();
  store.connected(false);
  await last().answer(pageOf(5, [1]));
  await last().answer({ ok: true, mutes: [] });
  stop();
  store.changed(changeOf(8, 2, { reload: true }));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(events()).toEqual(["notifications:list", "mutes:list"]);
  store.watch();
  expect(last().values).toEqual({ limit: 50 });
});

test("a mark shows at once, and is sent", async () => {
  await open();
  store.markRead([2]);
  expect(view().unread).toBe(2);
  expect(unreadSeqs()).toEqual([3, 1]);
  expect(last()).toMatchObject({ event: "notifications:read", values: { seqs: [2] } });
});

test("an answer that is ahead of its change neither flickers nor counts twice", async () => {
  await open();
  const seen: number[] = [];
  store.subscribe(() => seen.push(view().unread));
  store.markRead([2]);
  await last().answer(counted(6, 2));
  store.changed(changeOf(6, 3, { to: 6, from: 5, markedRead: { seqs: [2], at: AT }, unread: 2 }));
  await vi.advanceTimersByTimeAsync(10_000);
  expect([...new Set(seen)]).toEqual([2]);
  expect(events()).toEqual(["notifications:read"]);
});

test("a change that is ahead of the answer neither flickers nor counts twice", async () => {
  await open();
  const seen: number[] = [];
  store.subscribe(() => seen.push(view().unread));
  store.remove([2]);
  store.changed(changeOf(5, 2, { removed: [2] }));
  await last().answer(counted(6, 2));
  await vi.advanceTimersByTimeAsync(10_000);
  expect([...new Set(seen)]).toEqual([2]);
  expect(seqs()).toEqual([3, 1]);
  expect(events()).toEqual(["notifications:delete"]);
});

test("another's change between a mark and its own keeps the mark", async () => {
  await open();
  store.markRead([2]);
  await last().answer(counted(7, 3));
  store.changed(changeOf(5, 4, { added: [{ ...rowOf(4), type: "comment" }] }));
  expect(view().unread).toBe(3);
  expect(unreadSeqs()).toEqual([4, 3, 1]);
  store.changed(changeOf(6, 3, { markedRead: { seqs: [2], at: AT } }));
  expect(view().unread).toBe(3);
  expect(unreadSeqs()).toEqual([4, 3, 1]);
});

test("the server's word replaces the mark", async () => {
  await open();
  store.markRead([2]);
  await last().answer(counted(6, 2));
  store.changed(changeOf(5, 2, { markedRead: { seqs: [2], at: "2026-11-23T11:11:11.000Z" } }));
  expect(view().entries[1]?.readAt).toBe("2026-11-23T11:11:11.000Z");
  store.changed(changeOf(6, 3, { markedUnread: { seqs: [2] } }));
  expect(unreadSeqs()).toEqual([3, 2, 1]);
});

test("a mark that changed nothing gives way to the answer", async () => {
  await open();
  store.markRead([2]);
  await last().answer(counted(5, 3));
  expect(view().unread).toBe(3);
  expect(unreadSeqs()).toEqual([3, 2, 1]);
});

test("a mark whose change never comes is fetched after two seconds", async () => {
  await open();
  store.remove([2]);
  await last().answer(counted(6, 2));
  await vi.advanceTimersByTimeAsync(1999);
  expect(events()).toEqual(["notifications:delete"]);
  await vi.advanceTimersByTimeAsync(1);
  expect(events()).toEqual(["notifications:delete", "notifications:list"]);
  await last().answer(pageOf(6, [3, 1]));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(seqs()).toEqual([3, 1]);
  expect(view().unread).toBe(2);
  expect(asked).toHaveLength(2);
});

test("a refusal drops the mark and says why", async () => {
  await open();
  store.markRead([2]);
  await last().answer({ error: "Not today.", code: "refused" });
  expect(view()).toMatchObject({ unread: 3, error: "Not today." });
  store.markRead([1]);
  await last().answer(counted(6, 2));
  expect(view()).toMatchObject({ unread: 2, error: null });
});

test("what may succeed later is sent again, before what was done after it", async () => {
  await open();
  store.markRead([2]);
  store.markUnread([2]);
  await last().answer({ error: "The database is away.", code: "unavailable", retryAfter: 3 });
  expect(view()).toMatchObject({ error: "The database is away.", unread: 3 });
  await vi.advanceTimersByTimeAsync(2999);
  expect(asked).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  await last().answer(counted(6, 2));
  await last().answer(counted(7, 3));
  expect(events()).toEqual(["notifications:read", "notifications:read", "notifications:unread"]);
  expect(view().error).toBeNull();
});

test("a server that asks for more patience than a timer has is not hurried", async () => {
  await open();
  store.markRead([2]);
  await last().answer({ error: "Much later.", code: "unavailable", retryAfter: 9_000_000_000 });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(1);
});

test("what is done while offline shows, and is sent later, in order, one at a time", async () => {
  await open();
  await goOffline();
  store.markRead([3]);
  store.remove([1]);
  store.mute("post:7");
  expect(view()).toMatchObject({ unread: 1, mutes: ["post:7"] });
  expect(asked).toEqual([]);
  store.connected(true);
  store.changed(position(5, 3));
  expect(view()).toMatchObject({ unread: 1, mutes: ["post:7"] });
  const sent = () => events().filter((event) => event !== "mutes:list");
  expect(sent()).toEqual(["notifications:read"]);
  for (const next of ["notifications:delete", "mutes:add"]) {
    await (asked.findLast(({ event }) => event !== "mutes:list") as Asked).answer(counted(5, 3));
    expect(sent().at(-1)).toBe(next);
  }
});

test("a request that the connection took along is sent again", async () => {
  await open();
  store.markRead([3]);
  await goOffline();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(1);
  expect(view()).toMatchObject({ unread: 2, error: null });
  store.connected(true);
  await settle();
  expect(events().filter((event) => event === "notifications:read")).toHaveLength(2);
});

test("a page that the connection took along is asked for again", async () => {
  store.watch();
  store.connected(false);
  await goOffline();
  store.connected(false);
  await settle();
  expect(events()).toEqual(["notifications:list", "notifications:list"]);
  expect(view().error).toBeNull();
});

test("a connection that resumes the one before asks only for the mutes", async () => {
  await open();
  await goOffline();
  store.connected(true);
  store.changed(position(5, 3));
  await last().answer({ ok: true, mutes: [] });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(events()).toEqual(["mutes:list"]);
});

test("a connection to another past fetches, even at the same version, and forgets what was answered", async () => {
  await open();
  store.remove([3]);
  await last().answer(counted(6, 2));
  await goOffline();
  store.connected(false);
  store.changed(position(5, 2));
  expect(last()).toMatchObject({ event: "notifications:list" });
  await last().answer(pageOf(5, [9, 8]));
  await last().answer({ ok: true, mutes: [] });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(seqs()).toEqual([9, 8]);
  expect(view().unread).toBe(2);
  expect(asked).toHaveLength(3);
});

test("a server that tells no changes and went back to an earlier past is believed at once", async () => {
  await open(50);
  await goOffline();
  store.connected(false);
  await last().answer(pageOf(4, [1]));
  await last().answer({ ok: true, mutes: [] });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(seqs()).toEqual([1]);
  expect(view().unread).toBe(1);
  expect(events()).toEqual(["notifications:list", "mutes:list"]);
});

test("a gap is fetched, by as many as were loaded", async () => {
  await open(5, down(120, 80), { next: 41 });
  store.changed(changeOf(7, 9, { removed: [100] }));
  expect(last()).toMatchObject({ event: "notifications:list", values: { limit: 80 } });
  await last().answer(pageOf(8, down(120, 80), { next: 41 }));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toHaveLength(1);
});

test("what is fetched again is 500 at most", async () => {
  await open(5, down(1000, 700), { next: 301 });
  store.reload();
  for (let top = 1000; top > 500; top -= 100)
    await last().answer(pageOf(5, down(top, 100), { next: top - 99 }));
  expect(asked.map(({ values }) => values)).toEqual([
    { limit: 100 },
    { limit: 100, before: 901 },
    { limit: 100, before: 801 },
    { limit: 100, before: 701 },
    { limit: 100, before: 601 },
  ]);
  expect(view().entries).toHaveLength(500);
  expect(view().hasMore).toBe(true);
});

test("a page that is behind what was told is asked for again, twice a second", async () => {
  store.watch();
  store.connected(false);
  store.changed(position(7, 2));
  await last().answer(pageOf(6, [1]));
  await last().answer({ ok: true, mutes: [] });
  await vi.advanceTimersByTimeAsync(499);
  expect(asked).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(1);
  await last().answer(pageOf(7, [2, 1]));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(seqs()).toEqual([2, 1]);
  expect(asked).toHaveLength(3);
});

test("an inbox that cannot be fetched says why, asks no more by itself, and comes by reload", async () => {
  store.watch();
  store.connected(false);
  await last().answer({ error: "No.", code: "forbidden" });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(view()).toMatchObject({ error: "No.", loaded: false });
  expect(asked).toHaveLength(1);
  store.reload();
  await last().answer(pageOf(5, [1]));
  expect(view()).toMatchObject({ error: null, loaded: true });
});

test("an inbox that may come later is asked for then", async () => {
  store.watch();
  store.connected(false);
  await last().answer({ error: "Busy.", code: "unavailable", retryAfter: 2 });
  await vi.advanceTimersByTimeAsync(2000);
  expect(events()).toEqual(["notifications:list", "notifications:list"]);
});

test.each([undefined, null, 7, "ok", [], { ok: true }, { notifications: {} }])(
  "an answer that is no page is an error: %j",
  async (answer) => {
    store.watch();
    store.connected(false);
    await last().answer(answer);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(view()).toMatchObject({ loaded: false, error: expect.stringContaining("could not be read") });
    expect(asked).toHaveLength(1);
  },
);

test("older ones are asked for once, however often somebody scrolls there", async () => {
  await open(5, [9, 8], { next: 8 });
  void store.loadMore();
  void store.loadMore();
  expect(asked.map(({ values }) => values)).toEqual([{ limit: 50, before: 8 }]);
  expect(view().loadingMore).toBe(true);
  await last().answer(pageOf(5, [7, 6]));
  expect(view()).toMatchObject({ loadingMore: false, hasMore: false });
  expect(seqs()).toEqual([9, 8, 7, 6]);
  void store.loadMore();
  expect(asked).toHaveLength(1);
});

test("older ones that were refused leave the list as it is, to be asked for again", async () => {
  await open(5, [9, 8], { next: 8 });
  void store.loadMore();
  await last().answer({ error: "Busy.", code: "unavailable", retryAfter: 1 });
  expect(view()).toMatchObject({ loadingMore: false, hasMore: true, error: "Busy." });
  void store.loadMore();
  await last().answer(pageOf(5, [7]));
  expect(seqs()).toEqual([9, 8, 7]);
});

test("older ones are not asked for while offline", async () => {
  await open(5, [9, 8], { next: 8 });
  await goOffline();
  const published = vi.fn();
  store.subscribe(published);
  await store.loadMore();
  expect(published).not.toHaveBeenCalled();
  expect(asked).toEqual([]);
});

test("seen is said once for what is here, also where that leaves some unseen", async () => {
  await open(5, [3, 2], { unseen: 2 });
  store.changed({ ...position(5, 2), unseen: 2 });
  store.markSeen();
  store.markSeen();
  expect(view().unseen).toBe(0);
  await last().answer(counted(5, 2, 2));
  expect(view().unseen).toBe(2);
  store.markSeen();
  expect(events()).toEqual(["notifications:seen"]);
  store.changed({ ...changeOf(5, 3, { added: [{ ...rowOf(4), type: "comment" }] }), unseen: 3 });
  store.markSeen();
  expect(last().values).toEqual({ upTo: 4 });
});

test("seen that is refused is not said again and again", async () => {
  await open(5, [3, 2], { unseen: 2 });
  store.changed({ ...position(5, 2), unseen: 2 });
  store.subscribe(() => view().unseen > 0 && store.markSeen());
  store.markSeen();
  for (let at = 0; at < 5; at += 1) await last().answer({ error: "No.", code: "forbidden" });
  expect(asked).toHaveLength(1);
});

test("all that is here is marked as read, what is not loaded too", async () => {
  await open(5, [9, 8], { next: 8, unread: 40 });
  store.markAllRead();
  expect(view().unread).toBe(0);
  expect(last().values).toEqual({ upTo: 9 });
});

test("more than a thousand are sent by the thousand", async () => {
  await open();
  store.markRead(down(2500, 2500));
  const sizes: number[] = [];
  for (let at = 0; at < 3; at += 1) {
    sizes.push((last().values.seqs as number[]).length);
    await last().answer(counted(5, 3));
  }
  expect(sizes).toEqual([1000, 1000, 500]);
  expect(asked).toHaveLength(3);
});

test("what is muted shows at once, stays, and goes when it is refused", async () => {
  await open();
  store.mute("post:7");
  expect(view().mutes).toEqual(["post:7"]);
  await last().answer({ ok: true, topic: "post:7", muted: true });
  expect(view().mutes).toEqual(["post:7"]);
  store.mute("user:9");
  store.unmute("post:7");
  expect(view().mutes).toEqual(["user:9"]);
  await last().answer({ error: "Too many.", code: "invalid" });
  expect(view()).toMatchObject({ mutes: [], error: "Too many." });
  await last().answer({ ok: true, topic: "post:7", muted: false });
  expect(view()).toMatchObject({ mutes: [], error: null });
});

test("what is muted stays on the screen until the next connection tells it", async () => {
  await open();
  store.mute("post:7");
  await last().answer({ ok: true });
  await goOffline();
  store.connected(true);
  expect(view().mutes).toEqual(["post:7"]);
  await last().answer({ ok: true, mutes: [{ topic: "user:9", createdAt: AT }] });
  expect(view().mutes).toEqual(["user:9"]);
});

test("a server that tells no changes is asked for the counts, and where they are ahead, for the page", async () => {
  await open();
  const counting = store.recount();
  await last().answer(counted(6, 4));
  await counting;
  expect(view().unread).toBe(4);
  expect(events()).toEqual(["notifications:counts", "notifications:list"]);
});
