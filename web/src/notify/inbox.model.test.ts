/** A server's inbox and a client's, through whatever can happen to what is said between them. */

import { expect, test } from "vitest";
import { begunAnew, changed, EMPTY, extended, fetched, type InboxState } from "./inbox.js";
import { ModelServer, type Moment, random } from "./modelServer.js";
import type { Change, Entry, Page } from "./protocol.js";

const ROWS = 4;
const RUNS = 400;
const STEPS = 60;

/** An answer that is under way. */
type Answer = { before: undefined; pages: [Page, ...Page[]] } | { before: number; page: Page };

function run(seed: number): void {
  const pick = random(seed);
  const server = new ModelServer();
  const deleted: Entry[] = [];
  let client: InboxState = EMPTY;
  let changes: Change[] = [];
  let answers: Answer[] = [];
  let newestPage = 0;

  const someSeqs = () =>
    server.now.entries.filter((entry) => entry.seq === 1 || pick(3) === 0).map((entry) => entry.seq);

  const act = (): Change => {
    const kind = pick(7);
    const seqs = someSeqs();
    if (kind === 0 && deleted.length > 0) return server.undelete(deleted.splice(0, 1)[0] as Entry);
    if (kind === 1 && seqs.length > 0) {
      deleted.push(...server.now.entries.filter((entry) => seqs.includes(entry.seq)));
      return server.remove(seqs);
    }
    if (kind === 2) return server.read((entry) => seqs.includes(entry.seq));
    if (kind === 3) return server.read((entry) => entry.seq <= pick(server.lastSeq + 1));
    if (kind === 4) return server.unread(seqs);
    if (kind === 5) return server.see(pick(server.lastSeq + 1));
    return server.deliver(1 + pick(3));
  };

  const change = () => {
    if (pick(8) > 0) changes.push(act());
    else changes.push(server.fold(Array.from({ length: 1 + pick(3) }, act)));
  };

  const tell = () => {
    const [next] = changes.splice(0, 1);
    if (next) client = changed(client, next);
  };

  const askNewest = () => {
    const pages: [Page, ...Page[]] = [server.page(ROWS)];
    while (pick(2) === 0 && pages.at(-1)?.next) {
      if (pick(3) === 0) change(); // between one page and the next
      pages.push(server.page(ROWS, pages.at(-1)?.next ?? undefined));
    }
    answers.push({ before: undefined, pages });
  };

  const askOlder = () => {
    if (client.loaded && client.next !== null)
      answers.push({ before: client.next, page: server.page(ROWS, client.next) });
  };

  const answer = () => {
    const [next] = answers.splice(pick(answers.length), 1);
    if (!next) return;
    if (next.before === undefined) {
      newestPage = Math.max(...next.pages.map((page) => page.version));
      client = fetched(client, next.pages);
    } else {
      if (client.next === next.before) newestPage = Math.max(newestPage, next.page.version);
      client = extended(client, next.before, next.page);
    }
  };

  const reconnect = () => {
    answers = [];
    const isRestored = pick(4) === 0;
    if (isRestored) {
      server.restore(pick(server.version + 1));
      deleted.length = 0;
    }
    if (isRestored || pick(2) === 0) {
      client = begunAnew(client);
      newestPage = 0;
    }
    changes = [server.position()];
  };

  const check = () => {
    const seqs = client.entries.map((entry) => entry.seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => b - a));
    if (!client.loaded || client.stale) return;
    const { unread, unseen } = server.history[client.head] as Moment;
    expect({ unread: client.unread, unseen: client.unseen }).toEqual({ unread, unseen });
    if (client.version < newestPage) return; // a part of it is ahead, and what comes will take it there
    const then = server.history[client.version] as Moment;
    expect(client.entries).toEqual(then.entries.filter((entry) => entry.seq >= (client.next ?? 0)));
  };

  const often = [change, change, change, tell, tell, tell, tell, answer, answer, askNewest, askOlder];
  for (let at = 0; at < STEPS; at += 1) {
    const rarely = pick(25);
    if (rarely === 0) reconnect();
    else if (rarely === 1) changes.splice(pick(changes.length), 1 + pick(2));
    else often[pick(often.length)]?.();
    check();
  }

  // calm
  while (answers.length > 0) answer();
  changes.push(server.position());
  while (changes.length > 0) tell();
  if (client.stale || !client.loaded) client = fetched(client, [server.page(ROWS)]);
  while (client.next !== null) client = extended(client, client.next, server.page(ROWS, client.next));
  const { entries, unread, unseen } = server.now;
  expect(client).toMatchObject({ stale: false, version: server.version, head: server.version });
  expect({ entries: client.entries, unread: client.unread, unseen: client.unseen }).toEqual({
    entries,
    unread,
    unseen,
  });
}

test("whatever is lost, late or restored, the inbox is stale or right, and right in the end", () => {
  for (let seed = 1; seed <= RUNS; seed += 1) {
    try {
      run(seed);
    } catch (error) {
      throw new Error(`in the run of seed ${seed}`, { cause: error });
    }
  }
});
