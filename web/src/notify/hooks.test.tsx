import { act, render, screen } from "@testing-library/react";
import { StrictMode } from "react";
import { beforeEach, expect, test, vi } from "vitest";
import type { NotifyOptions } from "./client.js";
import { FakeSocket } from "./fakeSocket.js";
import { NotifyProvider, useConnection, useCounts, useInbox, useNotifications } from "./hooks.js";
import { NotificationBell } from "./NotificationBell.js";
import { NotificationCentre } from "./NotificationCentre.js";

vi.mock("socket.io-client", async () => (await import("./fakeSocket.js")).library);

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.opened.length = 0;
});

const settle = () => act(() => vi.advanceTimersByTimeAsync(0));
const connected = () => FakeSocket.opened.filter((socket) => socket.active);

function Status() {
  const { status } = useConnection();
  const { unread } = useCounts();
  return <p>{`${status}, ${unread} unread`}</p>;
}

function App({ user, ...options }: NotifyOptions & { user: string | number | null | undefined }) {
  const notify = useNotifications(user, options);
  return (
    <NotifyProvider value={notify}>
      <Status />
    </NotifyProvider>
  );
}

test("StrictMode's two mounts connect once", async () => {
  const { unmount } = render(
    <StrictMode>
      <App user={7} />
    </StrictMode>,
  );
  await settle();
  expect(FakeSocket.opened.reduce((sum, socket) => sum + socket.connects, 0)).toBe(1);
  unmount();
  expect(connected()).toEqual([]);
});

test("another user is another connection, and the first is closed", async () => {
  const { rerender } = render(<App user={7} />);
  await settle();
  const [first] = connected();
  act(() => first?.accept());
  act(() => first?.says("notifications:changed", { from: 1, to: 1, unread: 3, unseen: 0 }));
  expect(screen.getByText("live, 3 unread")).toBeDefined();
  rerender(<App user={8} />);
  await settle();
  expect(first?.active).toBe(false);
  expect(connected()).toHaveLength(1);
  expect(screen.getByText("connecting, 0 unread")).toBeDefined();
  expect(await connected()[0]?.auth()).toEqual({ userId: 8 });
});

test.each([null, undefined])("without a user (%s) nothing is opened, until there is one", async (nobody) => {
  const { rerender } = render(<App user={nobody} />);
  await settle();
  expect(connected()).toEqual([]);
  rerender(<App user={0} />);
  await settle();
  expect(connected()).toHaveLength(1);
  rerender(<App user={nobody} />);
  await settle();
  expect(connected()).toEqual([]);
});

test("other options take effect without another connection, another server is one", async () => {
  const told: string[] = [];
  const { rerender } = render(
    <App user={7} onNotification={() => told.push("before")} auth={{ token: 1 }} />,
  );
  await settle();
  const [socket] = connected();
  rerender(<App user={7} onNotification={() => told.push("now")} auth={{ token: 2 }} />);
  await settle();
  expect(FakeSocket.opened).toHaveLength(1);
  act(() => socket?.says("notification", { type: "x" }));
  await settle();
  expect(told).toEqual(["now"]);
  expect(await socket?.auth()).toEqual({ token: 2, userId: 7 });
  rerender(<App user={7} url="https://other.example.com" />);
  await settle();
  expect(socket?.active).toBe(false);
  expect(connected()[0]?.url).toBe("https://other.example.com");
});

test("a component outside of a provider says so", () => {
  const complain = vi.spyOn(console, "error").mockImplementation(() => {});
  expect(() => render(<Status />)).toThrow("There is no <NotifyProvider> above");
  complain.mockRestore();
});

function List() {
  return <p>{useInbox().loaded ? "loaded" : "not loaded"}</p>;
}

function Page({ isOpen }: { isOpen: boolean }) {
  return (
    <NotifyProvider value={useNotifications(7)}>
      <Status />
      {isOpen && <List />}
    </NotifyProvider>
  );
}

test("the inbox is asked for as long as somebody shows it, the counts never", async () => {
  const { rerender } = render(<Page isOpen={false} />);
  await settle();
  const socket = connected()[0] as FakeSocket;
  act(() => socket.accept());
  act(() => socket.says("notifications:changed", { from: 1, to: 1, unread: 3, unseen: 0 }));
  await settle();
  expect(socket.asked).toEqual([]);
  rerender(<Page isOpen />);
  await settle();
  expect(socket.asked).toEqual(["notifications:list"]);
});

test("what was refused comes again when the app has another token, and not for the same one", async () => {
  const { rerender } = render(<App user={7} auth={{ token: "old" }} />);
  await settle();
  const [socket] = FakeSocket.opened as [FakeSocket];
  act(() => socket.fails(new Error("the token has expired"), { again: false }));
  expect(screen.getByText(/^refused/)).toBeDefined();
  rerender(<App user={7} auth={{ token: "old" }} />);
  expect(socket.connects).toBe(1);
  rerender(<App user={7} auth={{ token: "new" }} />);
  expect(socket.connects).toBe(2);
  expect(await socket.auth()).toEqual({ token: "new", userId: 7 });
});

test("without a user there is no bell and no centre", async () => {
  const { container } = render(<Bells user={null} />);
  expect(container.textContent).toBe("");
  render(<Bells user={7} />);
  expect(screen.getByRole("button", { name: "Notifications" })).toBeDefined();
  expect(screen.getByRole("heading", { name: "Notifications" })).toBeDefined();
});

function Bells({ user }: { user: number | null }) {
  return (
    <NotifyProvider value={useNotifications(user)}>
      <NotificationBell />
      <NotificationCentre />
    </NotifyProvider>
  );
}
