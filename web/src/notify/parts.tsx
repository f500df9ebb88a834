/** The small parts that the centre is made of. */

import { Fragment, type ReactNode } from "react";
import { type Phrase, useLabels } from "./labels.js";
import { relativeTime, useNow } from "./time.js";

/**
 * Names and titles come from people: <bdi> keeps one that runs from right to left from turning the sentence around; the
 * sentence itself runs as its own words do, whatever the page does.
 */
export function Sentence({ phrase }: { phrase: Phrase }): ReactNode {
  return (
    <span dir="auto">
      {phrase.map((part, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the parts of a sentence have no other name, and no state
        <Fragment key={at}>
          {typeof part === "string" ? part : <bdi className="notify-strong">{part.strong}</bdi>}
        </Fragment>
      ))}
    </span>
  );
}

/** "2 min. ago", ticking. */
export function Time({ at }: { at: string }): ReactNode {
  const { locale } = useLabels();
  const now = useNow();
  const date = new Date(at);
  return (
    <time className="notify-time" dateTime={at} title={date.toLocaleString(locale)}>
      {relativeTime(date, now, locale)}
    </time>
  );
}

/** Initials on a colour that is always the same for a name. */
export function Avatar({ name }: { name: string }): ReactNode {
  const words = name.trim().split(/\s+/);
  const initials = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "");
  const hue = [...name].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);
  return (
    <span className="notify-avatar" style={{ "--notify-hue": hue } as React.CSSProperties} aria-hidden="true">
      {initials.join("").toLocaleUpperCase() || "•"}
    </span>
  );
}

const PATHS = {
  bell: "M12 3a6 6 0 0 0-6 6v3.6L4.4 15.8A.8.8 0 0 0 5.1 17h13.8a.8.8 0 0 0 .7-1.2L18 12.6V9a6 6 0 0 0-6-6ZM9.6 19.5a2.5 2.5 0 0 0 4.8 0",
  close: "m6 6 12 12M18 6 6 18",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  check: "m4.5 12.5 5 5 10-11",
  mute: "M4 9.5v5h3.5L12 18V6L7.5 9.5H4ZM16 9.5l5 5M21 9.5l-5 5",
  back: "M14.5 5.5 8 12l6.5 6.5",
} as const;

export function Icon({ of }: { of: keyof typeof PATHS }): ReactNode {
  return (
    <svg className={`notify-icon notify-icon-${of}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[of]} />
    </svg>
  );
}
