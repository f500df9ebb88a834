/** Entries → what the centre lists: days, and in each day one group for each post. */

import type { Entry } from "./protocol.js";

export interface Group {
  /** Stays the same when more comes in, or older ones are loaded. */
  readonly key: string;
  readonly type: string;
  readonly topic: string | null;
  /** Newest first, at least one. */
  readonly entries: readonly [Entry, ...Entry[]];
  /** Who they are from, each once, newest first. */
  readonly people: readonly Person[];
  readonly unread: number;
}

export interface Person {
  readonly name: string;
  /** What mutes that person; null where the notification is from nobody in particular. */
  readonly topic: string | null;
}

export interface Day {
  /** `2026-11-23`, in the time zone of whoever looks. */
  readonly key: string;
  readonly date: Date;
  readonly groups: readonly Group[];
}

export function groupByDay(entries: readonly Entry[]): Day[] {
  const days = new Map<string, { date: Date; groups: Map<string, Entry[]> }>();
  for (const entry of entries) {
    const date = new Date(entry.createdAt);
    const key = dayKey(date);
    const day = days.get(key) ?? { date, groups: new Map<string, Entry[]>() };
    days.set(key, day);
    const groupKey = `${key} ${isGrouped(entry) ? `${entry.type} ${entry.topic}` : entry.seq}`;
    const group = day.groups.get(groupKey);
    if (group) group.push(entry);
    else day.groups.set(groupKey, [entry]);
  }
  return [...days].map(([key, { date, groups }]) => ({
    key,
    date,
    groups: [...groups].map(([groupKey, [first, ...rest]]) => toGroup(groupKey, first as Entry, rest)),
  }));
}

/** Other types have words of their own, which no name can be put in front of. */
function isGrouped(entry: Entry): boolean {
  return entry.type === "comment" && entry.topic !== null;
}

function toGroup(key: string, first: Entry, rest: Entry[]): Group {
  const entries: [Entry, ...Entry[]] = [first, ...rest];
  const people = new Map<string, Person>();
  for (const { actor, payload } of entries) {
    const name = payload.fromUser;
    if (name && !people.has(actor ?? name)) people.set(actor ?? name, { name, topic: actor });
  }
  const unread = entries.filter((entry) => entry.readAt === null).length;
  return { key, type: first.type, topic: first.topic, entries, people: [...people.values()], unread };
}

export function dayKey(date: Date): string {
  const two = (part: number) => String(part).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
