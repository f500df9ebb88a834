/** For tests: components on a screen, above a server that has these entries and does what it is asked. */

import { act, render } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import type { ReactNode } from "react";
import { expect } from "vitest";
import { NotifyClient } from "./client.js";
import type { FakeSocket } from "./fakeSocket.js";
import { NotifyProvider } from "./hooks.js";
import type { Entry, Payload } from "./protocol.js";

export const NOW = new Date(2026, 10, 25, 11).getTime();

let seqs = 1000;
let users = 0;

/** Each is older than the one before. */
export function comment(over: Partial<Entry> & { payload?: Payload } = {}): Entry {
  seqs -= 1;
  const payload = { fromUser: "Grace", message: "Grace commented on your post" };
  return {
    seq: seqs,
    type: "comment",
    topic: "post:7",
    actor: "user:9",
    payload,
    createdAt: new Date(NOW - (1000 - seqs) * 1000).toISOString(),
    seenAt: new Date(NOW).toISOString(),
    readAt: null,
    ...over,
  };
}

export const commentBy = (name: string, over: Partial<Entry> = {}) =>
  comment({
    actor: `user:${name}`,
    payload: { fromUser: name, message: `${name} commented on your post` },
    ...over,
  });

interface Options {
  readonly mutes?: string[];
  readonly pageRows?: number;
  /** What is answered instead, by event. */
  readonly answers?: Readonly<Record<string, (values: object) => unknown>>;
  readonly isConnected?: boolean;
}

/** As a server does, but for the changes, which the test says where it needs them. */
export async function show(ui: ReactNode, entries: readonly Entry[] = [], options: Options = {}) {
  const { mutes = [], pageRows = 50, answers = {}, isConnected = true } = options;
  users += 1;
  const client = new NotifyClient(`user on screen ${users}`);
  const socket = client.socket as unknown as FakeSocket;
  let version = 5;
  let here = entries;
  const counts = () => ({
    version,
    unread: here.filter((entry) => entry.readAt === null).length,
    unseen: here.filter((entry) => entry.seenAt === null).length,
  });
  const at = new Date(NOW).toISOString();
  const become = (what: object, after: readonly Entry[]) => {
    here = after;
    version += 1;
    const { unread, unseen } = counts();
    socket.says("notifications:changed", { from: version - 1, to: version, unread, unseen, ...what });
    return { ok: true, ...counts() };
  };
  const list = (values: object) => {
    const { before = Number.POSITIVE_INFINITY } = values as { before?: number };
    const below = here.filter((entry) => entry.seq < before);
    const notifications = below.slice(0, pageRows);
    const next = below.length > pageRows ? notifications.at(-1)?.seq : null;
    return { ok: true, notifications, next, ...counts() };
  };
  const of = (values: object) => {
    const { seqs: named, upTo = -1 } = values as { seqs?: number[]; upTo?: number };
    return (entry: Entry) => (named ? named.includes(entry.seq) : entry.seq <= upTo);
  };
  const seqsOf = (is: (entry: Entry) => boolean) => here.filter(is).map((entry) => entry.seq);
  const server: Record<string, (values: object) => unknown> = {
    "notifications:list": list,
    "notifications:seen": (values) =>
      become(
        { markedSeen: { ...values, at } },
        here.map((entry) => ({ ...entry, seenAt: entry.seenAt ?? at })),
      ),
    "notifications:read": (values) =>
      become(
        { markedRead: { seqs: seqsOf(of(values)), at } },
        here.map((entry) => (of(values)(entry) ? { ...entry, readAt: at } : entry)),
      ),
    "notifications:unread": (values) =>
      become(
        { markedUnread: values },
        here.map((entry) => (of(values)(entry) ? { ...entry, readAt: null } : entry)),
      ),
    "notifications:delete": (values) =>
      become(
        { removed: seqsOf(of(values)) },
        here.filter((entry) => !of(values)(entry)),
      ),
    "mutes:list": () => ({ ok: true, mutes: mutes.map((topic) => ({ topic, createdAt: at })) }),
    "mutes:add": (values) => ({ ok: true, ...values, muted: true }),
    "mutes:remove": (values) => ({ ok: true, ...values, muted: false }),
    ...answers,
  };
  for (const [event, answer] of Object.entries(server)) socket.answers(event, answer);
  const user = userEvent.setup();
  const within = (inner: ReactNode) => <NotifyProvider value={client}>{inner}</NotifyProvider>;
  const { rerender, ...screen } = render(within(ui));
  const connect = () =>
    act(async () => {
      socket.accept();
      const { unread, unseen } = counts();
      socket.says("notifications:changed", { from: version, to: version, unread, unseen });
    });
  if (isConnected) await connect();
  const deliver = (...added: Entry[]) => act(async () => void become({ added }, [...added, ...here]));
  const says = (...what: [string, ...unknown[]]) => act(async () => socket.says(...what));
  const drop = (...how: Parameters<FakeSocket["drop"]>) => act(async () => socket.drop(...how));
  const again = (inner: ReactNode) => rerender(within(inner));
  const asked = (event: string) =>
    socket.requests.filter((one) => one.event === event).map(({ values }) => values);
  return { ...screen, client, socket, user, connect, deliver, says, drop, again, asked };
}

/** Contrast needs a browser, and a part of a page has no landmarks. */
export async function expectAccessible(): Promise<void> {
  const rules = { "color-contrast": { enabled: false }, region: { enabled: false } };
  const { violations } = await axe.run(document.body, { rules });
  expect(violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)])).toEqual([]);
}
