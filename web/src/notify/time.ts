/** Times as people say them, and a clock that ticks. */

import { useSyncExternalStore } from "react";

const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const DAY_S = 24 * HOUR_S;
const WEEK_S = 7 * DAY_S;

/** "now", "2 minutes ago", "yesterday"; beyond a week the date. A clock that is behind never says "in 3 seconds". */
export function relativeTime(date: Date, nowMs: number, locale?: string): string {
  const ageS = Math.max(0, (nowMs - date.getTime()) / 1000);
  if (ageS >= WEEK_S) {
    const sameYear = date.getFullYear() === new Date(nowMs).getFullYear();
    const year = sameYear ? {} : ({ year: "numeric" } as const);
    return date.toLocaleDateString(locale, { day: "numeric", month: "short", ...year });
  }
  const format = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });
  if (ageS < MINUTE_S) return format.format(0, "second");
  if (ageS < HOUR_S) return format.format(-Math.floor(ageS / MINUTE_S), "minute");
  if (ageS < DAY_S) return format.format(-Math.floor(ageS / HOUR_S), "hour");
  return format.format(-daysBetween(date, nowMs), "day");
}

/** By the calendar: from Monday evening to Wednesday morning it is two. */
function daysBetween(date: Date, nowMs: number): number {
  const midnight = (of: Date) => new Date(of.getFullYear(), of.getMonth(), of.getDate()).getTime();
  return Math.round((midnight(new Date(nowMs)) - midnight(date)) / (DAY_S * 1000));
}

/** "Today", "Yesterday", "Friday", "3 November". */
export function dayName(date: Date, nowMs: number, locale?: string): string {
  const days = daysBetween(date, nowMs);
  if (days < 2) {
    const name = new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(-Math.max(0, days), "day");
    return name.charAt(0).toLocaleUpperCase(locale) + name.slice(1);
  }
  if (days < 7) return date.toLocaleDateString(locale, { weekday: "long" });
  return date.toLocaleDateString(locale, { day: "numeric", month: "long", year: "numeric" });
}

const TICK_MS = 10_000;

let nowMs = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

function tick(): void {
  nowMs = Date.now();
  for (const listener of [...listeners]) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    timer = setInterval(tick, TICK_MS);
    document.addEventListener("visibilitychange", tick); // timers of a tab in the background stand still
    nowMs = Date.now();
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
    document.removeEventListener("visibilitychange", tick);
  };
}

/** The time in milliseconds, moving on by itself every ten seconds; one timer for all who look. */
export function useNow(): number {
  return useSyncExternalStore(
    subscribe,
    () => nowMs,
    () => nowMs,
  );
}
