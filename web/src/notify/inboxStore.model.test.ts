/** What people do with an inbox, over connections that come and go, above a server that others change as well. */

import { expect, test, vi } from "vitest";
import { Disconnected, InboxStore } from "./inboxStore.js";
import { ModelServer, random } from "./modelServer.js";
import type { Change } from "./protocol.js";

const RUNS = 150;
const STEPS = 80;
const ROWS = 6; // however many are asked for

interface Request {
  readonly event: string;
  readonly values: { seqs?: number[]; upTo?: number; limit?: number; before?: number };
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

async function run(seed: number): Promise<void> {
  const pick = random(seed);
  const server = new ModelServer();
  let waiting: Request[] = []; // not yet heard by the server
  let answers: { request: Request; answer: unknown }[] = [];
  let changes: Change[] = [];
  let isConnected = false;
  let isRestored = false;
  let requests = 0;

  const ask = (event: string, values: object): Promise<unknown> =>
    new Promise((resolve, reject) => {
      requests += 1;
      if (isConnected) waiting.push({ event, values, resolve, reject });
      else reject(new Disconnected());
    });
  const store = new InboxStore(ask);
  store.watch();
  const settle = () => vi.advanceTimersByTimeAsync(0);
  const seqsHere = () => store.getSnapshot().entries.map((entry) => entry.seq);
  const someSeqs = () => seqsHere().filter(() => pick(3) === 0);
  const tell = (change: Change) => isConnected && changes.push(change);

  const carryOut = ({ event, values }: Request): unknown => {
    const { seqs = [], upTo } = values;
    const { entries } = server.now;
    const isMeant = (seq: number) => (upTo === undefined ? seqs.includes(seq) : seq <= upTo);
    if (event === "notifications:read" && entries.some((one) => one.readAt === null && isMeant(one.seq)))
      tell(server.read((entry) => isMeant(entry.seq)));
    if (event === "notifications:unread" && entries.some((one) => one.readAt !== null && isMeant(one.seq)))
      tell(server.unread(seqs));
    if (event === "notifications:delete" && entries.some((one) => isMeant(one.seq)))
      tell(server.remove(seqs));
    if (event === "notifications:seen" && entries.some((one) => one.seenAt === null && isMeant(one.seq)))
      tell(server.see(upTo ?? 0));
    const { unread, unseen } = server.now;
    if (event === "mutes:list") return { ok: true, mutes: [] };
    if (event !== "notifications:list") return { ok: true, unread, unseen, version: server.version };
    const page = server.page(ROWS, values.before);
    return { ok: true, ...page, notifications: page.entries };
  };

  const hear = () => {
    const [request] = waiting.splice(0, 1);
    if (!request) return;
    const isBusy = pick(6) === 0;
    const answer = isBusy ? { error: "Busy.", code: "busy", retryAfter: 1 } : carryOut(request);
    answers.push({ request, answer });
  };
  const answer = () => {
    const [next] = answers.splice(0, 1);
    next?.request.resolve(next.answer);
  };
  const told = () => {
    const [change] = changes.splice(0, 1);
    if (change) store.changed(change);
  };
  const connect = () => {
    if (isConnected) return;
    isConnected = true;
    changes = [];
    store.connected(!isRestored && pick(2) === 0);
    isRestored = false;
    tell(server.position());
  };
  const disconnect = () => {
    if (!isConnected) return;
    isConnected = false;
    if (pick(3) === 0) {
      isRestored = true;
      server.restore(Math.max(0, server.version - pick(4)));
    }
    store.disconnected();
    // also for what was carried out
    for (const { reject } of [...waiting, ...answers.map(({ request }) => request)])
      reject(new Disconnected());
    answers = [];
    waiting = [];
  };
  const others = [
    () => tell(server.deliver(1 + pick(3))),
    () => tell(server.read((entry) => entry.seq % 3 === 0)),
    () => tell(server.see(pick(server.lastSeq + 1))),
    () => tell(server.remove(server.now.entries.slice(0, pick(2)).map((entry) => entry.seq))),
    () => tell(server.fold([server.deliver(1), server.deliver(1)])),
  ];
  const people = [
    () => store.markRead(someSeqs()),
    () => store.markUnread(someSeqs()),
    () => store.remove(someSeqs()),
    () => store.markSeen(),
    () => store.markAllRead(),
    () => void store.loadMore(),
  ];
  const one = (of: (() => unknown)[]) => of[pick(of.length)]?.();
  const often = [() => one(others), () => one(people), hear, hear, hear, answer, answer, told, told, told];

  const check = () => {
    const seqs = seqsHere();
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => b - a));
    const { unread, unseen } = store.getSnapshot();
    expect(Math.min(unread, unseen)).toBeGreaterThanOrEqual(0);
  };

  for (let at = 0; at < STEPS; at += 1) {
    const rarely = pick(16);
    if (rarely === 0) disconnect();
    else if (rarely < 3) connect();
    else if (rarely === 3) await vi.advanceTimersByTimeAsync(pick(2500));
    else one(often);
    await settle();
    check();
  }
  connect();
  requests = 0;
  for (let at = 0; at < 400; at += 1) {
    hear();
    answer();
    told();
    await vi.advanceTimersByTimeAsync(100);
  }
  expect(requests).toBeLessThan(150);
  requests = 0;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(requests).toBe(0);
  for (let at = 0; at < 20 && store.getSnapshot().hasMore; at += 1) {
    void store.loadMore();
    while (waiting.length > 0) hear();
    while (answers.length > 0) answer();
    await vi.advanceTimersByTimeAsync(1000);
  }
  const { entries, unread, unseen, error } = store.getSnapshot();
  expect(entries).toEqual(server.now.entries);
  expect({ unread, unseen }).toEqual({ unread: server.now.unread, unseen: server.now.unseen });
  expect(error).toBeNull();
}

test("whatever people do, and connections, the store ends where the server is, and asks no more", async () => {
  vi.useFakeTimers();
  for (let seed = 1; seed <= RUNS; seed += 1) {
    try {
      await run(seed);
    } catch (error) {
      throw new Error(`in the run of seed ${seed}`, { cause: error });
    }
    vi.clearAllTimers();
  }
});
