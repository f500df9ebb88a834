/** Who looks through which window, kept in the URL so that it can be reloaded and shared. */

import { useState } from "react";
import { type Config, type Id, isSame, type Person } from "./model";

export type Side = "left" | "right";

export interface Choice {
  readonly left: Person;
  readonly right: Person;
  /** Set where this tab is one person's window alone: `?as=1`. */
  readonly alone: Person | undefined;
}

/** Undefined where there are no people. */
export function readChoice(search: string, people: Config["people"]): Choice | undefined {
  const query = new URLSearchParams(search);
  const named = (key: string) => people.find((person) => isSame(person.id, query.get(key) ?? undefined));
  const [first, second = first] = people;
  if (!first || !second) return undefined;
  const left = named("left") ?? first;
  return { left, right: named("right") ?? second, alone: named("as") };
}

export function searchOf({ left, right, alone }: Choice): string {
  if (alone) return `?${new URLSearchParams({ as: String(alone.id) })}`;
  return `?${new URLSearchParams({ left: String(left.id), right: String(right.id) })}`;
}

export function useChoice(
  people: Config["people"],
): [Choice | undefined, (side: Side | "alone", id: Id) => void] {
  const [choice, setChoice] = useState(() => readChoice(location.search, people));
  const choose = (side: Side | "alone", id: Id) => {
    const person = people.find((one) => isSame(one.id, id));
    if (!choice || !person) return;
    const chosen = { ...choice, [side]: person };
    setChoice(chosen);
    history.replaceState(null, "", searchOf(chosen));
  };
  return [choice, choose];
}
