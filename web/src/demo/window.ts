import { createContext, useContext } from "react";
import type { Api } from "./api";
import type { Side } from "./choice";
import type { Feed } from "./feed";
import type { Id, Person } from "./model";

/** What everything in one person's window knows. */
export interface WindowOf {
  readonly side: Side;
  readonly me: Person;
  /** Whose window is beside this one. */
  readonly other: Person | undefined;
  readonly nameOf: (id: Id) => string;
  readonly api: Api;
  readonly feed: Feed;
}

const WindowContext = createContext<WindowOf | null>(null);

export const WindowProvider = WindowContext.Provider;

export function useWindow(): WindowOf {
  const value = useContext(WindowContext);
  if (!value) throw new Error("There is no <WindowProvider> above this component.");
  return value;
}

export const firstName = (name: string): string => name.trim().split(/\s+/)[0] || name;

/** The DOM's id of a post or a comment, which both windows may show. */
export const anchorOf = (side: Side, kind: "post" | "comment", id: Id): string => `${side}-${kind}-${id}`;
