import { act, screen, within } from "@testing-library/react";
import { describe, expect, test, vi } from "vitest";
import { NotificationCentre } from "./NotificationCentre.js";
import { comment, commentBy, expectAccessible, show } from "./onScreen.js";
import type { Entry } from "./protocol.js";

vi.mock("socket.io-client", async () => (await import("./fakeSocket.js")).library);

const READ = new Date(0).toISOString();
const button = (name: string | RegExp) => screen.getByRole("button", { name });
const openers = () => [...document.querySelectorAll<HTMLElement>("[data-notify-row]")];
/** Without their times. */
const texts = () =>
  openers().map((row) => {
    const text = row.querySelector(".notify-text")?.cloneNode(true) as HTMLElement;
    text.querySelector(".notify-meta")?.remove();
    return text.textContent?.trim();
  });
const focused = () => openers().indexOf(document.activeElement as HTMLElement);
const isInside = () => document.querySelector(".notify-centre")?.contains(document.activeElement);
const actionsOf = (name: RegExp) => button(new RegExp(`^Actions: ${name.source}`));

/** Three rows of three posts: by Grace (4 comments of two people), by Ada, by Linus. */
const three = () => [
  commentBy("Grace"),
  commentBy("Tim"),
  commentBy("Grace"),
  commentBy("Grace", { readAt: READ }),
  commentBy("Ada", { topic: "post:8" }),
  commentBy("Linus", { topic: "post:9", readAt: READ }),
];

describe("the list", () => {
  test("is of groups by post, below their day, and accessible", async () => {
    await show(<NotificationCentre />, three());
    expect(texts()).toEqual([
      "Grace and Tim commented on your post",
      "Ada commented on your post",
      "Linus commented on your post",
    ]);
    expect(screen.getAllByRole("heading", { level: 3 })).toHaveLength(1);
    await expectAccessible();
  });

  test("has the post's title where the app knows it, and the person's words where not", async () => {
    const entries = [
      commentBy("Ada"),
      comment({ type: "invoice", topic: null, actor: null, payload: { message: "An invoice is due" } }),
      comment({ type: "odd", topic: null, actor: null, payload: {} }),
    ];
    await show(<NotificationCentre postTitle={() => "Notes"} />, entries);
    expect(texts()).toEqual(["Ada commented on Notes", "An invoice is due", "Something happened"]);
  });

  test("says in words, not by a dot alone, what is unread, with a pause before it", async () => {
    await show(<NotificationCentre />, three());
    expect(button(/^Grace and Tim commented on your post.*, unread$/)).toBeDefined();
    expect(button(/^Linus commented on your post/).textContent).not.toContain("unread");
  });

  test("marks as seen what somebody looks at, not what is in a hidden tab", async () => {
    const visibility = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    const { asked } = await show(<NotificationCentre />, [comment({ seenAt: null })]);
    expect(asked("notifications:seen")).toEqual([]);
    visibility.mockReturnValue("visible");
    await act(async () => void document.dispatchEvent(new Event("visibilitychange")));
    expect(asked("notifications:seen")).toHaveLength(1);
  });

  test("says seen once where the server refuses it", async () => {
    const answers = { "notifications:seen": () => ({ error: "No.", code: "forbidden" }) };
    const { asked } = await show(<NotificationCentre />, [comment({ seenAt: null })], { answers });
    expect(asked("notifications:seen")).toHaveLength(1);
  });

  test("shows each of a group, to be opened one by one", async () => {
    const onOpen = vi.fn();
    const entries = three();
    const { user, asked } = await show(<NotificationCentre onOpen={onOpen} />, entries);
    const toggle = button("Show all 4");
    expect(toggle.getAttribute("aria-expanded")).toBe("false");
    await user.click(toggle);
    expect(button("Show less")).toBe(toggle);
    expect(openers()).toHaveLength(7);
    await expectAccessible();
    await user.click(openers()[2] as HTMLElement);
    expect(onOpen).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ seq: entries[1]?.seq }),
      expect.anything(),
    );
    expect(asked("notifications:read")).toEqual([{ seqs: [entries[1]?.seq] }]);
    await user.click(toggle);
    expect(openers()).toHaveLength(3);
  });

  test("takes what arrives without losing what is expanded, or the focus", async () => {
    const { user, deliver } = await show(<NotificationCentre />, three().slice(1));
    await user.click(button("Show all 3"));
    act(() => openers()[2]?.focus());
    const before = document.activeElement;
    await deliver(commentBy("Zoe", { seq: 5000 }));
    expect(texts()[0]).toBe("Zoe and 2 others commented on your post");
    expect(document.activeElement).toBe(before);
    expect(button("Show less")).toBeDefined();
  });
});

describe("opening", () => {
  test("reads the whole group, and shows its newest", async () => {
    const onOpen = vi.fn();
    const entries = three();
    const { user, asked } = await show(<NotificationCentre onOpen={onOpen} />, entries);
    await user.click(button(/^Grace and Tim/));
    expect(onOpen).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ seq: entries[0]?.seq }),
      expect.anything(),
    );
    expect(asked("notifications:read")).toEqual([{ seqs: entries.slice(0, 3).map((entry) => entry.seq) }]);
    await user.click(button(/^Linus/));
    expect(asked("notifications:read")).toHaveLength(1);
    expect(onOpen).toHaveBeenCalledTimes(2);
  });

  test("is following a link where the app says where to, also into a new tab", async () => {
    const onOpen = vi.fn();
    const href = (entry: Entry) => `#/comments/${entry.seq}`;
    const [one] = three();
    const { user, asked } = await show(<NotificationCentre href={href} onOpen={onOpen} />, [one as Entry]);
    const link = screen.getByRole("link", { name: /^Grace/ });
    expect(link.getAttribute("href")).toBe(`#/comments/${one?.seq}`);
    await user.keyboard("{Control>}");
    await user.click(link);
    await user.keyboard("{/Control}");
    expect(onOpen).not.toHaveBeenCalled();
    expect(asked("notifications:read")).toHaveLength(1);
    await user.click(link);
    expect(onOpen).toHaveBeenCalledOnce();
    expect(asked("notifications:read")).toHaveLength(1); // it is read already
    await expectAccessible();
  });
});

describe("an action", () => {
  test("reads and unreads a group, and leaves the focus where it was asked for", async () => {
    const { user } = await show(<NotificationCentre />, three());
    const more = actionsOf(/Ada/);
    expect(more.getAttribute("aria-expanded")).toBe("false");
    await user.click(more);
    await expectAccessible();
    await user.click(button("Mark as read"));
    expect(button(/^Ada/).textContent).not.toContain("unread");
    expect(more.getAttribute("aria-expanded")).toBe("false");
    expect(document.activeElement).toBe(more);
    await user.keyboard("{Enter}");
    await user.click(button("Mark as unread"));
    expect(button(/^Ada/).textContent).toContain("unread");
    expect(document.activeElement).toBe(more);
  });

  test("mutes the post, or whoever it is from", async () => {
    const { user, asked } = await show(<NotificationCentre />, three());
    await user.click(actionsOf(/Grace and Tim/));
    await user.click(button("Mute this post"));
    await user.click(actionsOf(/Grace and Tim/));
    await user.click(button("Mute Tim"));
    expect(asked("mutes:add")).toEqual([{ topic: "post:7" }, { topic: "user:Tim" }]);
  });

  test("offers to mute only what can be muted", async () => {
    const entry = comment({ topic: "billing", actor: null, type: "invoice" });
    const { user } = await show(<NotificationCentre />, [entry]);
    await user.click(actionsOf(/Grace/));
    expect(screen.queryByRole("button", { name: /^Mute / })).toBeNull();
  });

  test("is taken back by Escape, before the panel is", async () => {
    const { user } = await show(<NotificationCentre />, three());
    const more = actionsOf(/Ada/);
    await user.click(more);
    await user.tab();
    await user.keyboard("{Escape}");
    expect(more.getAttribute("aria-expanded")).toBe("false");
    expect(document.activeElement).toBe(more);
  });

  test("deletes, and the focus goes to the neighbour, at last to what is left", async () => {
    const { user, asked } = await show(<NotificationCentre />, three());
    const remove = async (name: RegExp) => {
      await user.click(actionsOf(name));
      await user.click(button("Delete"));
    };
    await remove(/Ada/);
    expect(document.activeElement).toBe(button(/^Linus/));
    await remove(/Linus/);
    expect(document.activeElement).toBe(button(/^Grace/));
    await remove(/Grace/);
    expect(screen.getByText("Nothing here yet")).toBeDefined();
    expect(isInside()).toBe(true);
    expect(asked("notifications:delete").map((values) => Object.values(values)[0].length)).toEqual([1, 1, 4]);
    await expectAccessible();
  });

  test("of another page that takes away what has the focus leaves it in the centre", async () => {
    const entries = three();
    const { says } = await show(<NotificationCentre />, entries);
    act(() => openers()[1]?.focus());
    await says("notifications:changed", { from: 5, to: 6, unread: 3, unseen: 0, removed: [entries[4]?.seq] });
    expect(openers()).toHaveLength(2);
    expect(isInside()).toBe(true);
  });

  test("of another page takes no focus that somebody has put elsewhere", async () => {
    const entries = three();
    const { says } = await show(<NotificationCentre />, entries);
    act(() => openers()[1]?.focus());
    await act(async () => openers()[1]?.blur());
    await says("notifications:changed", { from: 5, to: 6, unread: 3, unseen: 0, removed: [entries[4]?.seq] });
    expect(document.activeElement).toBe(document.body);
  });

  test("marks all as read, and the focus stays in the centre", async () => {
    const { user, asked } = await show(<NotificationCentre />, three());
    await user.click(button("Mark all as read"));
    expect(asked("notifications:read")).toHaveLength(1);
    expect(screen.queryByRole("button", { name: "Mark all as read" })).toBeNull();
    expect(isInside()).toBe(true);
  });
});

describe("the keys", () => {
  test("go up and down among the rows, to the first and the last, and no further", async () => {
    const { user } = await show(<NotificationCentre />, three());
    act(() => openers()[0]?.focus());
    const seen: number[] = [];
    for (const key of ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Home", "ArrowUp", "End"]) {
      await user.keyboard(`{${key}}`);
      seen.push(focused());
    }
    expect(seen).toEqual([1, 2, 2, 1, 0, 0, 2]);
  });

  test("go through each of an expanded group", async () => {
    const { user } = await show(<NotificationCentre />, three());
    await user.click(button("Show all 4"));
    act(() => openers()[0]?.focus());
    const seen: number[] = [];
    for (let at = 0; at < 6; at += 1) {
      await user.keyboard("{ArrowDown}");
      seen.push(focused());
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
    await user.keyboard("{ArrowUp}{ArrowUp}");
    expect(focused()).toBe(4);
  });

  test("go on from the row whose actions have the focus", async () => {
    const { user } = await show(<NotificationCentre />, three());
    act(() => actionsOf(/Ada/).focus());
    await user.keyboard("{ArrowDown}");
    expect(focused()).toBe(2);
  });

  test("with a modifier are the browser's", async () => {
    const { user } = await show(<NotificationCentre />, three());
    act(() => openers()[0]?.focus());
    await user.keyboard("{Control>}{End}{/Control}{Alt>}{ArrowDown}{/Alt}");
    expect(focused()).toBe(0);
  });

  test("of Tab stop at one row only, the one that had the focus last", async () => {
    const { user } = await show(<NotificationCentre />, three());
    const stops = () => openers().map((row) => row.tabIndex);
    expect(stops()).toEqual([0, -1, -1]);
    act(() => openers()[0]?.focus());
    await user.keyboard("{ArrowDown}");
    expect(stops()).toEqual([-1, 0, -1]);
  });
});

describe("older ones", () => {
  const many = () => Array.from({ length: 5 }, (_, at) => commentBy(`P${at}`, { topic: `post:${at}` }));

  test("come by a button, which keeps the focus, and after the last the centre does", async () => {
    const { user, asked } = await show(<NotificationCentre />, many(), { pageRows: 2 });
    await user.click(button("Show older ones"));
    expect(openers()).toHaveLength(4);
    expect(document.activeElement).toBe(button("Show older ones"));
    await user.keyboard("{Enter}");
    expect(openers()).toHaveLength(5);
    expect(screen.queryByRole("button", { name: "Show older ones" })).toBeNull();
    expect(isInside()).toBe(true);
    expect(asked("notifications:list")).toHaveLength(3);
    await expectAccessible();
  });

  test("come by scrolling there, once for each page, and while offline not at all", async () => {
    const looks: (() => void)[] = [];
    class Observer {
      constructor(seen: (of: { isIntersecting: boolean }[]) => void) {
        looks.push(() => seen([{ isIntersecting: true }]));
      }
      observe() {}
      disconnect() {}
    }
    vi.stubGlobal("IntersectionObserver", Observer);
    const { asked, connect, drop } = await show(<NotificationCentre />, many(), { pageRows: 2 });
    const look = () => act(async () => looks.at(-1)?.());
    await drop();
    const before = looks.length;
    await look();
    expect(asked("notifications:list")).toHaveLength(1);
    expect(looks).toHaveLength(before);
    await connect();
    expect(looks.length).toBeGreaterThan(before);
    await look();
    expect(openers()).toHaveLength(4);
    await look();
    expect(openers()).toHaveLength(5);
  });
});

describe("where there is nothing to show", () => {
  test("it says that nothing is here", async () => {
    await show(<NotificationCentre />, []);
    expect(screen.getByText("Nothing here yet")).toBeDefined();
    await expectAccessible();
  });

  test("it says that it is loading, until there is a connection", async () => {
    const { connect } = await show(<NotificationCentre />, [commentBy("Ada")], { isConnected: false });
    expect(screen.getByText("Loading…")).toBeDefined();
    await expectAccessible();
    await connect();
    expect(screen.queryByText("Loading…")).toBeNull();
    expect(openers()).toHaveLength(1);
  });

  test("it says why, and tries again on demand, and the focus stays in the centre", async () => {
    let isAway = true;
    const page = { notifications: [commentBy("Ada")], next: null, unread: 1, unseen: 0, version: 5 };
    const list = () => (isAway ? { error: "The database is away.", code: "x" } : page);
    const { user } = await show(<NotificationCentre />, [], { answers: { "notifications:list": list } });
    expect(screen.getByRole("alert").textContent).toContain("The database is away.");
    expect(screen.queryByText("Loading…")).toBeNull();
    await expectAccessible();
    isAway = false;
    await user.click(button("Try again"));
    expect(screen.queryByRole("alert")).toBeNull();
    expect(openers()).toHaveLength(1);
    expect(isInside()).toBe(true);
  });
});

describe("the connection", () => {
  const notice = () => document.querySelector("[data-status]")?.textContent;

  test("is spoken of where it is not live", async () => {
    const { drop, connect } = await show(<NotificationCentre />, [commentBy("Ada")]);
    expect(notice()).toBe("");
    await drop();
    expect(notice()).toMatch(/^Offline/);
    expect(openers()).toHaveLength(1);
    await expectAccessible();
    await connect();
    expect(notice()).toBe("");
  });

  test("that is refused says what to do, in the app's words", async () => {
    const { socket } = await show(<NotificationCentre />, [], { isConnected: false });
    act(() => socket.fails(new Error("The token has expired."), { again: false }));
    expect(notice()).toBe("You are not connected. Please sign in again.");
    expect(screen.queryByText("Loading…")).toBeNull();
    await expectAccessible();
  });

  test("takes along what is done while it is away, and brings it when it is back", async () => {
    const { user, drop, connect, asked } = await show(<NotificationCentre />, three());
    await drop();
    await user.click(button(/^Ada/));
    expect(button(/^Ada/).textContent).not.toContain("unread");
    expect(asked("notifications:read")).toEqual([]);
    await connect();
    expect(asked("notifications:read")).toHaveLength(1);
    expect(button(/^Ada/).textContent).not.toContain("unread");
  });
});

describe("what is muted", () => {
  const mutes = ["post:7", "user:9", "constructor:1", "odd"];

  test("is listed by name and unmuted one by one, and the focus stays in the centre", async () => {
    const topicName = (kind: string, id: string) => (kind === "post" ? `Notes ${id}` : undefined);
    const { user, asked } = await show(<NotificationCentre topicName={topicName} />, [], { mutes });
    await user.click(button("Muted"));
    expect(button("Unmute Notes 7")).toBeDefined();
    expect(button("Unmute Person 9")).toBeDefined();
    await expectAccessible();
    await user.click(button("Unmute Notes 7"));
    expect(screen.queryByText("Notes 7")).toBeNull();
    expect(document.activeElement).toBe(button("Unmute Person 9"));
    for (const name of ["Person 9", "constructor 1"]) await user.click(button(`Unmute ${name}`));
    await user.click(screen.getByRole("button", { name: /^Unmute/ }));
    expect(screen.getByText("Nothing is muted.")).toBeDefined();
    expect(isInside()).toBe(true);
    expect(asked("mutes:remove")).toHaveLength(4);
    await user.click(button("Back"));
    expect(document.activeElement).toBe(button("Muted"));
    expect(screen.getByText("Nothing here yet")).toBeDefined();
  });
});

describe("words", () => {
  test("are those that the app gives, the rest stays English", async () => {
    const labels = { title: "Mitteilungen", markAllRead: "Alle gelesen", locale: "de" };
    const { user } = await show(<NotificationCentre labels={labels} />, three());
    expect(screen.getByRole("region", { name: "Mitteilungen" })).toBeDefined();
    await user.click(button("Alle gelesen"));
    expect(button("Show all 4")).toBeDefined();
  });

  test.each([
    ["markup", '<img src=x onerror="alert(1)"><script>alert(1)</script>'],
    ["turned around", "\u202eecarG\u2066"],
    ["ten thousand letters", "x".repeat(10_000)],
    ["half a character", "\ud83d\udc69\u200d\ud83d lone \udc00"],
    ["blanks", "  \t\n "],
    ["of the prototype", "__proto__"],
  ])("that are hostile are text: %s", async (_, hostile) => {
    const payload = { fromUser: hostile, message: `${hostile} commented on your post` };
    const entries = [
      comment({ payload }),
      comment({ payload, actor: "user:8" }),
      comment({ payload: { message: hostile }, type: hostile, topic: hostile }),
    ];
    const { user, container } = await show(<NotificationCentre postTitle={() => hostile} />, entries);
    await user.click(button("Show all 2"));
    expect(container.querySelectorAll("img, script")).toHaveLength(0);
    expect(container.textContent).toContain(hostile);
    const names = [...container.querySelectorAll("bdi")].map((name) => name.textContent);
    expect(names).toContain(hostile);
  });
});

test("two centres on one page have no id in common", async () => {
  const both = (
    <>
      <NotificationCentre labels={{ title: "One" }} />
      <NotificationCentre labels={{ title: "Two" }} />
    </>
  );
  const { user } = await show(both, three());
  for (const centre of screen.getAllByRole("region", { name: /^(One|Two)$/ }))
    await user.click(within(centre).getByRole("button", { name: "Show all 4" }));
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
});
