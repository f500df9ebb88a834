import { useCallback, useSyncExternalStore } from "react";

const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("storage", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("storage", listener);
  };
}

/** Where the browser keeps no data, reading and writing throw. */
const kept = new Map<string, string>();

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return kept.get(key) ?? null;
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    kept.set(key, value);
  }
  for (const listener of [...listeners]) listener();
}

/** A choice that all windows and tabs of this browser share, and that a reload keeps. */
export function useSetting<T extends string>(
  key: string,
  values: readonly [T, ...T[]],
): [T, (value: T) => void] {
  const stored = useSyncExternalStore(subscribe, () => read(key));
  const value = values.find((one) => one === stored) ?? values[0];
  return [value, useCallback((chosen: T) => write(key, chosen), [key])];
}
