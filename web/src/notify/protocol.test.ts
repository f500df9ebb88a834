import { describe, expect, test } from "vitest";
import {
  readChange,
  readCounts,
  readEntry,
  readMutes,
  readNotification,
  readOffset,
  readPage,
  readRefusal,
} from "./protocol.js";

const AT = "2026-11-23T10:00:00.000Z";
const ENTRY = {
  seq: 3,
  type: "comment",
  topic: "post:7",
  actor: "user:9",
  payload: { message: "hello" },
  createdAt: AT,
  seenAt: null,
  readAt: null,
};
const CHANGE = { from: 5, to: 6, unread: 1, unseen: 0 };
const NONSENSE = [undefined, null, true, 7, Number.NaN, "text", [], {}, () => 1, Symbol("s")];

test.each(NONSENSE)("what is no object of ours is nothing: %s", (value) => {
  expect(readEntry(value)).toBeUndefined();
  expect(readCounts(value)).toBeUndefined();
  expect(readPage(value)).toBeUndefined();
  expect(readMutes(value)).toBeUndefined();
  expect(readChange(value)).toBeUndefined();
  expect(readRefusal(value)).toBeUndefined();
  expect(readOffset(value)).toBeUndefined();
});

describe("an entry", () => {
  test("is read as it was sent", () => {
    expect(readEntry(ENTRY)).toEqual(ENTRY);
  });

  test.each([
    ["seq", [undefined, "3", -1, 1.5, Number.NaN, 2 ** 60]],
    ["type", [undefined, null, 7]],
    ["createdAt", [undefined, 7, "", "yesterday", "2026-13-45"]],
  ])("without a right %s is none", (field, values) => {
    for (const value of values) expect(readEntry({ ...ENTRY, [field]: value })).toBeUndefined();
  });

  test("has only what is right of the rest", () => {
    const wrong = { topic: 7, actor: {}, seenAt: 1, readAt: [], payload: "text" };
    const empty = { topic: null, actor: null, seenAt: null, readAt: null, payload: {} };
    expect(readEntry({ ...ENTRY, ...wrong })).toEqual({ ...ENTRY, ...empty });
  });

  test("has a payload whose own fields are right, and whatever else the app put there", () => {
    const payload = { message: 7, fromUser: {}, postId: Number.NaN, commentId: "c", amount: [7] };
    expect(readEntry({ ...ENTRY, payload })?.payload).toEqual({ commentId: "c", amount: [7] });
  });

  test("cannot reach the prototype of anything", () => {
    const payload = JSON.parse('{"__proto__": {"message": "owned"}, "constructor": {"prototype": {}}}');
    const read = readEntry({ ...ENTRY, payload })?.payload;
    expect(read?.message).toBeUndefined();
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).message).toBeUndefined();
  });
});

test("a page has the entries that are right, in the order they came", () => {
  const notifications = [ENTRY, null, { seq: 2 }, { ...ENTRY, seq: 1 }];
  const page = readPage({ notifications, next: "x", unread: 2, unseen: 1, version: 5 });
  expect(page?.entries.map((entry) => entry.seq)).toEqual([3, 1]);
  expect(page?.next).toBeNull();
});

test("a page of a hundred thousand is no trouble", () => {
  const notifications = Array.from({ length: 100_000 }, (_, at) => ({ ...ENTRY, seq: 100_000 - at }));
  expect(readPage({ notifications, next: null, unread: 0, unseen: 0, version: 1 })?.entries).toHaveLength(
    100_000,
  );
});

test("mutes are topics, each once", () => {
  const mutes = [{ topic: "post:7" }, { topic: "post:7" }, { topic: 7 }, null, "post:8", { topic: "user:9" }];
  expect(readMutes({ mutes })).toEqual(["post:7", "user:9"]);
});

describe("a change", () => {
  test.each([
    ["added", [ENTRY]],
    ["removed", [3]],
    ["markedSeen", { upTo: 3, at: AT }],
    ["markedRead", { seqs: [3], at: AT }],
    ["markedUnread", { seqs: [3] }],
    ["reload", true],
  ])("of kind %s is read as it was sent", (kind, value) => {
    expect(readChange({ ...CHANGE, [kind]: value })).toEqual({ ...CHANGE, [kind]: value });
  });

  test.each([
    ["a later server's kind", { pinned: [3] }],
    ["nothing", {}],
    ["removed that are no seqs", { removed: [3, "x"] }],
    ["removed that are no list", { removed: { length: 1e9 } }],
    ["marks without seqs", { markedRead: { at: AT } }],
    ["marks without a time", { markedSeen: { upTo: 3 } }],
    ["marks below zero", { markedUnread: { seqs: [-1] } }],
  ])("of which it is not understood what it says is a reload: %s", (_, what) => {
    expect(readChange({ ...CHANGE, ...what })).toEqual({ ...CHANGE, reload: true });
  });

  test.each([{ from: "5" }, { to: Number.NaN }, { unread: -1 }, { unseen: Infinity }, { to: undefined }])(
    "without its place or its counts is none: %j",
    (wrong) => {
      expect(readChange({ ...CHANGE, ...wrong })).toBeUndefined();
    },
  );

  test("from a version to the same says where the inbox is, whatever else it says", () => {
    expect(readChange({ ...CHANGE, to: 5, reload: true })).toEqual({ ...CHANGE, to: 5 });
  });
});

test("a refusal is one that has words; where it may succeed later, at most an hour later", () => {
  expect(readRefusal({ error: "No.", code: 7, retryAfter: "1" })).toEqual({ error: "No.", code: "" });
  expect(readRefusal({ error: "No.", code: "busy", retryAfter: 2 })).toMatchObject({ retryAfter: 2 });
  expect(readRefusal({ error: "No.", retryAfter: Number.MAX_SAFE_INTEGER })).toMatchObject({
    retryAfter: 3600,
  });
  for (const error of [undefined, null, 7, {}]) expect(readRefusal({ error, code: "x" })).toBeUndefined();
});

test("an offset is a seq and a tag", () => {
  expect(readOffset("12.a.b")).toEqual({ seq: 12, tag: "a.b" });
  for (const wrong of ["12", "12.", ".a", "-1.a", "1e3.a", "x.a", `${"9".repeat(20)}.a`])
    expect(readOffset(wrong)).toBeUndefined();
});

test("a notification is any object; its own fields are right, and it always has a type", () => {
  expect(readNotification({ message: 7, fromUser: "Grace", extra: 1 })).toEqual({
    type: "",
    fromUser: "Grace",
    extra: 1,
  });
  expect(readNotification(null)).toBeUndefined();
});
