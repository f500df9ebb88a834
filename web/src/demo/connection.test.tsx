import { act, render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { NotifyClient, NotifyProvider } from "../notify";
import { ConnectionState, ConnectionSwitch } from "./connection";

let seq = 0;

/** What the server and the network do to one client's socket, without either. */
function connection() {
  seq += 1;
  const client = new NotifyClient(`user ${seq}`);
  Object.defineProperty(client.socket, "active", { value: true });
  const fire = (event: string, ...values: unknown[]) =>
    act(async () => {
      for (const listener of client.socket.listeners(event)) listener(...values);
    });
  const missed = async (count: number) => {
    for (let each = 0; each < count; each += 1) {
      seq += 1;
      await fire("notification", { type: "comment", message: "…" }, `${seq}.tag`);
    }
  };
  const live = (unread: number) =>
    fire("notifications:changed", { from: seq, to: seq, unread, unseen: unread });
  render(
    <NotifyProvider value={client}>
      <ConnectionState />
      <ConnectionSwitch isCut={false} cut={() => undefined} />
    </NotifyProvider>,
  );
  return { fire, missed, live };
}

const said = () => screen.getAllByRole("status").map((status) => status.textContent);

test("what was missed is counted by the inbox, and what was caught up by what came", async () => {
  const { fire, missed, live } = connection();
  await fire("connect");
  await live(2);
  expect(said()).toEqual(["Connection: live", ""]);
  await fire("disconnect", "transport close");
  expect(said()).toEqual(["Connection: offline", ""]);
  await fire("connect");
  await missed(3);
  expect(said()).toEqual(["Connection: catching up", ""]);
  await live(5);
  expect(said()).toEqual(["Connection: live", "3 missed while away, 3 caught up"]);
  await fire("notifications:changed", { from: seq, to: seq + 1, unread: 6, unseen: 6, added: [] });
  expect(said()[1]).toBe("3 missed while away, 3 caught up");
});

test("one that does not come is told", async () => {
  const { fire, missed, live } = connection();
  await fire("connect");
  await live(0);
  await fire("disconnect", "transport close");
  await fire("connect");
  await missed(1);
  await live(2);
  expect(said()[1]).toBe("2 missed while away, 1 caught up");
});

test("what was unread before the page was there is not missed, also where the server was away first", async () => {
  const { fire, live } = connection();
  await fire("connect_error", new Error("xhr poll error"));
  await fire("connect");
  await live(7);
  expect(said()).toEqual(["Connection: live", ""]);
});
