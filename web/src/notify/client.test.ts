import { beforeEach, describe, expect, test, vi } from "vitest";
import { NotifyClient, type NotifyOptions } from "./client.js";
import { FakeSocket } from "./fakeSocket.js";
import { isFirstInBrowser } from "./oncePerBrowser.js";

vi.mock("socket.io-client", async () => (await import("./fakeSocket.js")).library);
vi.mock("./oncePerBrowser.js");

let users = 0;
let user: string;
const first = vi.mocked(isFirstInBrowser);

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.opened.length = 0;
  users += 1;
  user = `user ${users}`; // what was handed on is remembered as long as the page lives
  first.mockResolvedValue(true);
});

const settle = () => vi.advanceTimersByTimeAsync(0);
const comment = (message = "hello") => ({ type: "comment", message });
const position = (at = 5) => ({ from: at, to: at, unread: 1, unseen: 1 });

async function open(options: NotifyOptions = {}) {
  const client = new NotifyClient(user, options);
  const close = client.open();
  await settle();
  return { client, close, socket: client.socket as unknown as FakeSocket };
}

describe("a connection", () => {
  test("is made when it is opened, to the server that is named, as this user", async () => {
    const client = new NotifyClient(7, {
      url: "https://api.example.com",
      auth: { token: "t" },
      socket: { path: "/ws" },
    });
    const socket = client.socket as unknown as FakeSocket;
    expect(socket.connects).toBe(0);
    client.open();
    await settle();
    expect(socket.connects).toBe(1);
    expect(socket.url).toBe("https://api.example.com");
    expect(socket.settings).toMatchObject({ path: "/ws", autoConnect: false, forceNew: true });
    expect(await socket.auth()).toEqual({ token: "t", userId: 7 });
  });

  test("asks anew who the user is each time, and what it says does not change the user", async () => {
    let token = 1;
    const auth = async () => ({ token: token++, userId: "somebody else" });
    const { socket } = await open({ auth });
    expect(await socket.auth()).toEqual({ token: 1, userId: user });
    expect(await socket.auth()).toEqual({ token: 2, userId: user });
  });

  test("whose token cannot be had is tried again as any that fails", async () => {
    const auth = () => Promise.reject(new Error("the token's server is away"));
    const { socket } = await open({ auth });
    void socket.auth();
    await settle();
    expect(socket.io.engine.close).toHaveBeenCalledOnce();
  });

  test("that is opened, closed and opened again at once, as StrictMode does, is made once", async () => {
    const client = new NotifyClient(user);
    client.open()();
    client.open();
    await settle();
    expect((client.socket as unknown as FakeSocket).connects).toBe(1);
  });

  test("tells how it stands", async () => {
    const { client, socket } = await open();
    const seen = [client.getSnapshot().status];
    client.subscribe(() => {
      const { status } = client.getSnapshot();
      if (status !== seen.at(-1)) seen.push(status);
    });
    socket.connect();
    socket.accept();
    socket.says("notifications:changed", position());
    socket.drop();
    socket.accept();
    socket.says("notifications:changed", position());
    expect(seen).toEqual(["connecting", "catching up", "live", "offline", "catching up", "live"]);
  });

  test("that fails before it stands is offline where it is tried again, refused where it is not", async () => {
    const { client, socket } = await open();
    socket.fails(new Error("xhr poll error"), { again: true });
    expect(client.getSnapshot()).toMatchObject({ status: "offline", problem: null });
    socket.fails(new Error("Sign in again."), { again: false });
    expect(client.getSnapshot()).toMatchObject({ status: "refused", problem: "Sign in again." });
  });

  test("that the server ends is refused, that we end is not", async () => {
    const { client, close, socket } = await open();
    socket.accept();
    socket.drop("io server disconnect", { again: false });
    expect(client.getSnapshot().status).toBe("refused");
    socket.accept();
    close();
    expect(client.getSnapshot().status).toBe("connecting");
  });

  test("to a server that tells of no changes is live after three quiet seconds, and counts by asking", async () => {
    const { client, socket } = await open();
    socket.accept();
    socket.answers("notifications:counts", () => ({ ok: true, unread: 4, unseen: 2, version: 9 }));
    await vi.advanceTimersByTimeAsync(2000);
    socket.says("notification", comment());
    await vi.advanceTimersByTimeAsync(2999);
    expect(client.getSnapshot().status).toBe("catching up");
    await vi.advanceTimersByTimeAsync(1);
    expect(client.getSnapshot()).toMatchObject({ status: "live", caughtUp: 1 });
    expect(client.inbox.getSnapshot()).toMatchObject({ unread: 4, unseen: 2 });
  });

  test("that is closed says nothing more, and asks for nothing", async () => {
    const { client, close, socket } = await open();
    socket.accept();
    close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(client.getSnapshot().status).toBe("connecting");
    expect(socket.asked).toEqual([]);
  });

  test("what is no change at all is ignored", async () => {
    const { client, socket } = await open();
    socket.accept();
    for (const value of [undefined, null, 7, "x", {}, { from: -1, to: 2 }])
      socket.says("notifications:changed", value);
    expect(client.getSnapshot().status).toBe("catching up");
  });
});

describe("a notification", () => {
  test("is handed on once for each place in the stream, in whatever order connections bring it", async () => {
    const told: unknown[] = [];
    const { socket } = await open({ onNotification: (_, { seq }) => told.push(seq) });
    socket.accept();
    for (const offset of ["1.a", "2.a", "2.a", "1.a", "3.a"]) socket.says("notification", comment(), offset);
    await settle();
    expect(told).toEqual([1, 2, 3]);
  });

  test("is handed on once after a remount", async () => {
    const onNotification = vi.fn();
    for (const seq of [1, 2]) {
      const { socket, close } = await open({ onNotification });
      for (let told = 1; told <= seq; told++) socket.says("notification", comment(), `${told}.a`);
      close();
    }
    await settle();
    expect(onNotification).toHaveBeenCalledTimes(2);
  });

  test("is handed on by each of two clients that one page has open for one user", async () => {
    const onNotification = vi.fn();
    const [one, two] = [await open({ onNotification }), await open({ onNotification })];
    for (const { socket } of [one, two]) socket.says("notification", comment(), "1.a");
    one.close();
    two.socket.says("notification", comment(), "1.a");
    await settle();
    expect(onNotification).toHaveBeenCalledTimes(2);
  });

  test("is not waited for by a connection that ended before it was known who asks", async () => {
    let say: (auth: object) => void = () => {};
    const { socket } = await open({ auth: () => new Promise<object>((resolve) => (say = resolve)) });
    const sent = vi.fn();
    socket.settings.auth(sent);
    socket.io.engine = { readyState: "opening", close: vi.fn() };
    say({ token: "late" });
    await settle();
    expect(sent).not.toHaveBeenCalled();
    expect(socket.io.engine.close).not.toHaveBeenCalled();
  });

  test("comes again when it was refused, and has something better to say", async () => {
    const { client, socket } = await open();
    socket.fails(new Error("the token has expired"), { again: false });
    expect(client.getSnapshot()).toMatchObject({ status: "refused", problem: "the token has expired" });
    client.reconnect();
    expect(socket.connects).toBe(2);
    socket.accept();
    expect(client.getSnapshot()).toMatchObject({ status: "catching up", problem: null });
  });

  test("of another database, whose places begin again, is another", async () => {
    const onNotification = vi.fn();
    const { socket } = await open({ onNotification });
    for (const offset of ["8.a", "1.b", "1.b"]) socket.says("notification", comment(), offset);
    await settle();
    expect(onNotification).toHaveBeenCalledTimes(2);
  });

  test("without a place, from an old server, is handed on as it comes", async () => {
    const onNotification = vi.fn();
    const { socket } = await open({ onNotification });
    for (const more of [[], [null], ["x"], [7]]) socket.says("notification", comment(), ...more);
    await settle();
    expect(onNotification).toHaveBeenCalledTimes(4);
    expect(onNotification).toHaveBeenLastCalledWith(comment(), { seq: undefined, caughtUp: false });
  });

  test("with a place beyond all numbers does not hide those after it", async () => {
    const onNotification = vi.fn();
    const { socket } = await open({ onNotification });
    socket.says("notification", comment(), `${"9".repeat(400)}.a`);
    socket.says("notification", comment(), "2.a");
    await settle();
    expect(onNotification).toHaveBeenCalledTimes(2);
  });

  test("that is none is not handed on", async () => {
    const onNotification = vi.fn();
    const { socket } = await open({ onNotification });
    for (const value of [undefined, null, 7, "hello"]) socket.says("notification", value);
    await settle();
    expect(onNotification).not.toHaveBeenCalled();
  });

  test("that was missed before this connection is marked so, and counted", async () => {
    const arrivals: unknown[] = [];
    const { client, socket } = await open({ onNotification: (_, arrival) => arrivals.push(arrival) });
    socket.accept();
    socket.says("notification", comment(), "1.a");
    socket.says("notification", comment(), "2.a");
    socket.says("notifications:changed", position());
    socket.says("notification", comment(), "3.a");
    await settle();
    expect(arrivals).toEqual([
      { seq: 1, caughtUp: true },
      { seq: 2, caughtUp: true },
      { seq: 3, caughtUp: false },
    ]);
    expect(client.getSnapshot().caughtUp).toBe(2);
    socket.drop();
    socket.accept();
    expect(client.getSnapshot().caughtUp).toBe(0);
  });

  test("goes to all who listen, also where one throws, and each is told the next", async () => {
    const thrown: unknown[] = [];
    const theirs = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection").on("unhandledRejection", (error) => thrown.push(error));
    vi.useRealTimers();
    const told: unknown[] = [];
    const client = new NotifyClient(user, {
      onNotification: (_, { seq }) => {
        told.push(["option", seq]);
        throw new Error("the app's");
      },
    });
    client.listen(() => {
      throw new Error("a listener's");
    });
    client.listen((_, { seq }) => told.push(["listener", seq]));
    const socket = client.socket as unknown as FakeSocket;
    socket.says("notification", comment(), "1.a");
    socket.says("notification", comment(), "2.a");
    await vi.waitFor(() => expect(thrown).toHaveLength(4));
    process.removeAllListeners("unhandledRejection");
    for (const listener of theirs) process.on("unhandledRejection", listener);
    expect(told).toEqual([
      ["listener", 1],
      ["option", 1],
      ["listener", 2],
      ["option", 2],
    ]);
  });

  test("goes to the callback of now, not of when the client was made", async () => {
    const [before, now] = [vi.fn(), vi.fn()];
    const { client, socket } = await open({ onNotification: before });
    client.options = { onNotification: now };
    socket.says("notification", comment(), "1.a");
    await settle();
    expect(before).not.toHaveBeenCalled();
    expect(now).toHaveBeenCalledOnce();
  });

  test("goes to one tab only where the app says so, and only where it has a place", async () => {
    const onNotification = vi.fn();
    const { socket } = await open({ onNotification, oncePerBrowser: true });
    first.mockResolvedValueOnce(false);
    socket.says("notification", comment(), "1.a");
    socket.says("notification", comment(), "2.a");
    socket.says("notification", comment());
    await settle();
    expect(onNotification).toHaveBeenCalledTimes(2);
    expect(first.mock.calls).toEqual([[` ${user} a 1`], [` ${user} a 2`]]);
  });
});

describe("a request", () => {
  test("that the server does not answer in ten seconds is refused for now, and made again", async () => {
    const { client, socket } = await open();
    client.inbox.watch();
    socket.accept();
    socket.says("notifications:changed", position());
    await vi.advanceTimersByTimeAsync(10_000);
    expect(client.inbox.getSnapshot().error).toBe("The server does not answer.");
    await vi.advanceTimersByTimeAsync(1000);
    expect(socket.asked).toEqual(["notifications:list", "notifications:list"]);
  });

  test("that the connection took along is no error, and made again on the next", async () => {
    const { client, socket } = await open();
    client.inbox.watch();
    socket.accept();
    await settle();
    socket.drop();
    await settle();
    expect(client.inbox.getSnapshot().error).toBeNull();
    socket.accept();
    await settle();
    expect(socket.asked).toEqual(["notifications:list", "notifications:list"]);
  });
});
