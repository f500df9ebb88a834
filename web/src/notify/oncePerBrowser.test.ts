import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import { beforeEach, expect, test, vi } from "vitest";

const DAY_MS = 86_400_000;

beforeEach(() => {
  vi.stubGlobal("indexedDB", new IDBFactory());
  vi.stubGlobal("IDBKeyRange", IDBKeyRange);
});

/** Another tab: the module once more, on the same database. */
async function openTab() {
  vi.resetModules();
  return (await import("./oncePerBrowser.js")).isFirstInBrowser;
}

/** The database's own timers go on. */
const stopTheClock = (at: number) => vi.useFakeTimers({ toFake: ["Date"], now: at });

test("of the tabs that claim a notification one is first, whichever it is", async () => {
  const tabs = [await openTab(), await openTab(), await openTab()];
  for (const key of ["1", "2", "3"]) {
    const first = await Promise.all(tabs.map((isFirst) => isFirst(key)));
    expect(first.filter((one) => one)).toHaveLength(1);
  }
});

test("a tab that is opened later is not first for what was shown", async () => {
  expect(await (await openTab())("1")).toBe(true);
  expect(await (await openTab())("1")).toBe(false);
});

test("what was shown is forgotten after seven days, when a page begins", async () => {
  stopTheClock(0);
  expect(await (await openTab())("1")).toBe(true);
  stopTheClock(7 * DAY_MS - 1);
  expect(await (await openTab())("1")).toBe(false);
  stopTheClock(7 * DAY_MS + 1);
  expect(await (await openTab())("1")).toBe(true);
});

test("where the browser keeps no data, every tab is first", async () => {
  vi.stubGlobal("indexedDB", undefined);
  for (const isFirst of [await openTab(), await openTab()]) expect(await isFirst("1")).toBe(true);
});

test("where the database cannot be opened, every tab is first, and tries again the next time", async () => {
  const isFirst = await openTab();
  const open = vi.spyOn(indexedDB, "open").mockImplementationOnce(() => {
    throw new DOMException("denied", "SecurityError");
  });
  expect(await isFirst("1")).toBe(true);
  expect(await isFirst("1")).toBe(true);
  expect(await isFirst("1")).toBe(false);
  expect(open).toHaveBeenCalledTimes(2);
});

test("where the database never answers, the tab does not wait for it for ever", async () => {
  const isFirst = await openTab();
  vi.useFakeTimers();
  vi.spyOn(indexedDB, "open").mockReturnValue({} as IDBOpenDBRequest);
  const claimed = isFirst("1");
  await vi.advanceTimersByTimeAsync(2000);
  expect(await claimed).toBe(true);
});

test("a hidden tab lets the one in front go first", async () => {
  const [hidden, visible] = [await openTab(), await openTab()];
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  const visibility = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  const later = hidden("1");
  visibility.mockReturnValue("visible");
  expect(await visible("1")).toBe(true);
  await vi.advanceTimersByTimeAsync(400);
  expect(await later).toBe(false);
});
