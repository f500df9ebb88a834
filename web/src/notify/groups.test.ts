import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { dayKey, groupByDay } from "./groups.js";
import { type CommentsOf, english } from "./labels.js";
import type { Entry, Payload } from "./protocol.js";

beforeEach(() => void vi.stubEnv("TZ", "Europe/Berlin"));
afterEach(() => void vi.unstubAllEnvs());

let seq = 100;

function comment(createdAt: string, over: Partial<Entry> & { payload?: Payload } = {}): Entry {
  seq -= 1;
  const payload = { fromUser: "Grace", message: "Grace commented on your post" };
  const base = { type: "comment", topic: "post:7", actor: "user:9", seenAt: null, readAt: null };
  return { seq, ...base, payload, createdAt, ...over };
}

const from = (name: string | undefined, actor: string | null): Partial<Entry> => ({
  actor,
  payload: name === undefined ? {} : { fromUser: name },
});

describe("comments", () => {
  test("on one post on one day are one group, the newest first, where that one is", () => {
    const entries = [
      comment("2026-11-23T10:00:00Z"),
      comment("2026-11-23T09:00:00Z", { topic: "post:8" }),
      comment("2026-11-23T08:00:00Z", { readAt: "2026-11-23T08:30:00Z" }),
    ];
    const [day, ...others] = groupByDay(entries);
    expect(others).toEqual([]);
    expect(day?.groups.map((group) => group.topic)).toEqual(["post:7", "post:8"]);
    expect(day?.groups[0]).toMatchObject({ entries: [entries[0], entries[2]], unread: 1 });
  });

  test("on one post on two days are two groups", () => {
    const days = groupByDay([comment("2026-11-23T10:00:00Z"), comment("2026-11-22T10:00:00Z")]);
    expect(days.map((day) => day.groups.length)).toEqual([1, 1]);
  });

  test("of no post stand alone, as do other types", () => {
    const [day] = groupByDay([
      comment("2026-11-23T10:00:00Z", { topic: null }),
      comment("2026-11-23T09:00:00Z", { topic: null }),
      comment("2026-11-23T08:00:00Z", { type: "invoice" }),
      comment("2026-11-23T07:00:00Z", { type: "invoice" }),
    ]);
    expect(day?.groups).toHaveLength(4);
  });

  test("keep their group's key when newer and older ones come", () => {
    const middle = comment("2026-11-23T10:00:00Z");
    const keyOf = (entries: Entry[]) => groupByDay(entries)[0]?.groups[0]?.key;
    const [newer, older] = [comment("2026-11-23T11:00:00Z"), comment("2026-11-23T09:00:00Z")];
    expect(keyOf([newer, middle, older])).toBe(keyOf([middle]));
  });

  test("are from each person once, also where two have one name, or one has had two", () => {
    const people = (entries: Entry[]) => groupByDay(entries)[0]?.groups[0]?.people;
    const at = "2026-11-23T10:00:00Z";
    expect(
      people([comment(at, from("Grace", "user:9")), comment(at, from("Grace", "user:8"))])?.map(
        (person) => person.topic,
      ),
    ).toEqual(["user:9", "user:8"]);
    expect(people([comment(at, from("Grace H.", "user:9")), comment(at, from("Grace", "user:9"))])).toEqual([
      { name: "Grace H.", topic: "user:9" },
    ]);
    expect(people([comment(at, from("Grace", null)), comment(at, from("Grace", null))])).toHaveLength(1);
    expect(people([comment(at, from(undefined, "user:9")), comment(at, from("", "user:8"))])).toEqual([]);
  });
});

describe("days", () => {
  test("change at midnight where somebody looks, not in UTC", () => {
    const days = groupByDay([comment("2026-11-22T23:00:00Z"), comment("2026-11-22T22:59:59Z")]);
    expect(days.map((day) => day.key)).toEqual(["2026-11-23", "2026-11-22"]);
  });

  test("of 23 and of 25 hours are one day each", () => {
    const spring = ["2026-03-29T21:59:59Z", "2026-03-28T23:00:00Z"].map((at) => comment(at));
    expect(groupByDay(spring).map((day) => day.key)).toEqual(["2026-03-29"]);
    const autumn = ["2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z"].map((at) => comment(at));
    expect(groupByDay(autumn).map((day) => day.key)).toEqual(["2026-10-25"]);
  });

  test("are each there once, also where a server's clock was set back", () => {
    const days = groupByDay(
      ["2026-11-23T00:30:00Z", "2026-11-22T12:00:00Z", "2026-11-23T00:10:00Z"].map((at) => comment(at)),
    );
    expect(days.map((day) => day.groups[0]?.entries.length)).toEqual([2, 1]);
  });

  test("have keys of two digits", () => {
    expect(dayKey(new Date(2026, 0, 5))).toBe("2026-01-05");
  });
});

test.each<[Partial<CommentsOf>, string]>([
  [{ names: ["Grace"] }, "Grace commented on your post"],
  [{ names: ["Grace"], title: "Notes" }, "Grace commented on Notes"],
  [{ names: ["Grace"], count: 4 }, "Grace commented 4 times on your post"],
  [{ names: ["Grace", "Linus"], count: 2 }, "Grace and Linus commented on your post"],
  [{ names: ["Grace", "Linus", "Ada", "Tim"], count: 9 }, "Grace and 3 others commented on your post"],
  [{ names: [], count: 1 }, "Somebody commented on your post"],
  [{ names: [], count: 3 }, "Somebody commented 3 times on your post"],
])("%j reads as people say it: %s", (of, sentence) => {
  const phrase = english.comments({ names: [], count: 1, title: undefined, ...of });
  expect(phrase.map((part) => (typeof part === "string" ? part : part.strong)).join("")).toBe(sentence);
});

test.each(["__proto__", "constructor", "toString", "invoice"])(
  "a topic of any kind has a name: %s",
  (kind) => {
    expect(english.topic(kind, "7")).toBe(`${kind} 7`);
  },
);
