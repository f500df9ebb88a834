import { act, screen, within } from "@testing-library/react";
import { describe, expect, test, vi } from "vitest";
import { NotificationBell, type NotificationBellProps } from "./NotificationBell.js";
import { comment, commentBy, expectAccessible, show } from "./onScreen.js";

vi.mock("socket.io-client", async () => (await import("./fakeSocket.js")).library);

const unseen = { seenAt: null };
const bell = () => screen.getByRole("button", { name: /^Notifications/ });
const panel = () => screen.queryByRole("dialog");

describe("the bell", () => {
  test("says how many are unread, and shows 99 at most", async () => {
    const { says } = await show(<NotificationBell />, [comment(), comment()]);
    expect(bell().getAttribute("aria-label")).toBe("Notifications, 2 unread");
    await says("notifications:changed", { from: 9, to: 9, unread: 0, unseen: 0 });
    expect(bell().getAttribute("aria-label")).toBe("Notifications");
    expect(bell().textContent).toBe("");
    await says("notifications:changed", { from: 9, to: 9, unread: 99, unseen: 0 });
    expect(bell().textContent).toBe("99");
    await says("notifications:changed", { from: 9, to: 9, unread: 100, unseen: 0 });
    expect(bell().textContent).toBe("99+");
    expect(bell().getAttribute("aria-label")).toBe("Notifications, 100 unread");
    await expectAccessible();
  });

  test("stands out for what is unseen, and no more once it was opened", async () => {
    const { user, asked } = await show(<NotificationBell />, [comment(unseen)]);
    expect(bell().dataset.unseen).toBe("true");
    await user.click(bell());
    expect(bell().dataset.unseen).toBeUndefined();
    expect(bell().textContent).toBe("1");
    expect(asked("notifications:seen")).toHaveLength(1);
  });

  test("costs no request until it is opened", async () => {
    const { socket, user } = await show(<NotificationBell />, [comment()]);
    expect(socket.asked).toEqual([]);
    await user.click(bell());
    expect(socket.asked).toEqual(["notifications:list", "mutes:list"]);
  });
});

describe("the panel", () => {
  const outside = (
    <>
      <NotificationBell />
      <button type="button">elsewhere</button>
    </>
  );

  test("opens and closes by the bell, and by its own button, which give the focus back", async () => {
    const { user } = await show(outside, [comment()]);
    await user.click(bell());
    expect(panel()?.getAttribute("aria-label")).toBe("Notifications");
    expect(document.activeElement).toBe(panel());
    expect(bell().getAttribute("aria-expanded")).toBe("true");
    await expectAccessible();
    await user.click(bell());
    expect(panel()).toBeNull();
    await user.click(bell());
    await user.click(screen.getByRole("button", { name: "Close" }));
    expect(panel()).toBeNull();
    expect(document.activeElement).toBe(bell());
  });

  test("closes by Escape, which gives the focus back and goes no further", async () => {
    const { user } = await show(outside, [comment()]);
    const further = vi.fn();
    document.addEventListener("keydown", further);
    await user.click(bell());
    await user.tab();
    await user.keyboard("{Escape}");
    expect(panel()).toBeNull();
    expect(document.activeElement).toBe(bell());
    expect(further).not.toHaveBeenCalledWith(expect.objectContaining({ key: "Escape" }));
    document.removeEventListener("keydown", further);
  });

  test("closes where somebody clicks elsewhere, and leaves the focus there", async () => {
    const { user } = await show(outside, [comment()]);
    await user.click(bell());
    await user.click(within(panel() as HTMLElement).getByRole("heading", { name: "Notifications" }));
    expect(panel()).not.toBeNull();
    await user.click(screen.getByText("elsewhere"));
    expect(panel()).toBeNull();
    expect(document.activeElement).toBe(screen.getByText("elsewhere"));
  });

  test("closes where the focus leaves it", async () => {
    const { user } = await show(outside, []);
    await user.click(bell());
    await user.tab();
    await user.tab();
    expect(panel()).not.toBeNull();
    await user.tab();
    expect(document.activeElement).toBe(screen.getByText("elsewhere"));
    expect(panel()).toBeNull();
  });

  test("closes when one is opened, before the app shows it", async () => {
    const entry = comment();
    const onOpen = vi.fn(() => expect(document.activeElement).toBe(bell()));
    const { user } = await show(<NotificationBell onOpen={onOpen} />, [entry]);
    await user.click(bell());
    await user.click(await screen.findByRole("button", { name: /^Grace/ }));
    expect(onOpen).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ seq: entry.seq }),
      expect.anything(),
    );
    expect(panel()).toBeNull();
    expect(bell().textContent).toBe("");
  });
});

describe("what arrives", () => {
  const region = () => screen.getByRole("status");

  async function listen(props: NotificationBellProps = {}) {
    const rig = await show(<NotificationBell {...props} />);
    vi.useFakeTimers();
    const arrives = (...messages: (string | undefined)[]) =>
      act(async () => {
        for (const message of messages) rig.socket.says("notification", { type: "comment", message });
      });
    const wait = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));
    return { ...rig, arrives, wait };
  }

  test("is said in a region that was there before, and cleared", async () => {
    const { arrives, wait } = await listen();
    expect(region().textContent).toBe("");
    await arrives("Grace commented on your post");
    await wait(500);
    expect(region().textContent).toBe("Grace commented on your post");
    await wait(5000);
    expect(region().textContent).toBe("");
  });

  test("together is said as a number", async () => {
    const { arrives, wait } = await listen();
    await arrives("one", "two", undefined);
    await wait(500);
    expect(region().textContent).toBe("3 new notifications");
  });

  test("without words of its own is said all the same", async () => {
    const { arrives, wait } = await listen();
    await arrives(undefined);
    await wait(500);
    expect(region().textContent).toBe("Something happened");
  });

  test("with the same words again is said again", async () => {
    const { arrives, wait } = await listen();
    await arrives("Grace commented on your post");
    await wait(1000);
    await arrives("Grace commented on your post");
    expect(region().textContent).toBe("");
    await wait(500);
    expect(region().textContent).toBe("Grace commented on your post");
  });

  test("is said also where the app renders meanwhile, with labels of that moment", async () => {
    const { arrives, wait, again } = await listen({ labels: { title: "Inbox" } });
    await arrives("one", "two");
    again(<NotificationBell labels={{ title: "Inbox", arrived: (count) => `${count} neue` }} />);
    await wait(500);
    expect(region().textContent).toBe("2 neue");
    again(<NotificationBell labels={{ title: "Inbox" }} />);
    await wait(5000);
    expect(region().textContent).toBe("");
  });

  test("is not said where the app says it", async () => {
    await listen({ announce: false });
    expect(screen.queryByRole("status")).toBeNull();
  });

  test("is said as text, whatever it is", async () => {
    const { arrives, wait } = await listen();
    const hostile = '<img src=x onerror="alert(1)">\u202e\ud800';
    await arrives(hostile);
    await wait(500);
    expect(region().textContent).toBe(hostile);
    expect(region().children).toHaveLength(0);
  });
});

test("labels are replaced one by one", async () => {
  const labels = { bell: (unread: number) => `Glocke ${unread}`, title: "Mitteilungen" };
  const { user } = await show(<NotificationBell labels={labels} />, [commentBy("Ada")]);
  await user.click(screen.getByRole("button", { name: "Glocke 1" }));
  expect(screen.getByRole("dialog", { name: "Mitteilungen" })).toBeDefined();
  expect(screen.getByRole("button", { name: "Mark all as read" })).toBeDefined();
});
