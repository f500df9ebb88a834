/** What the two forms have in common: a labelled text with its problem next to it, and the row that sends. */

import { type KeyboardEvent, type ReactNode, useId } from "react";
import type { Submit } from "./submit";

interface TextProps {
  label: string;
  /** Whether the label is there for screen readers only. */
  isLabelHidden?: boolean;
  value: string;
  onChange: (value: string) => void;
  isReadOnly: boolean;
  problem?: string | undefined;
  /** How high it is at first; a text without is one line. */
  rows?: number;
  placeholder?: string;
}

export function Text({
  label,
  isLabelHidden = false,
  value,
  onChange,
  isReadOnly,
  problem,
  rows,
  placeholder,
}: TextProps): ReactNode {
  const id = useId();
  const shared = {
    id,
    dir: "auto",
    value,
    placeholder,
    readOnly: isReadOnly,
    "aria-invalid": problem !== undefined,
    "aria-describedby": problem === undefined ? undefined : `${id}-problem`,
  };
  return (
    <div className="field">
      <label htmlFor={id} className={isLabelHidden ? "hidden" : undefined}>
        {label}
      </label>
      {rows === undefined ? (
        <input type="text" {...shared} onChange={(event) => onChange(event.target.value)} />
      ) : (
        <textarea
          {...shared}
          rows={rows}
          onChange={(event) => onChange(event.target.value)}
          onKeyDown={sendOnEnter}
        />
      )}
      {problem !== undefined && (
        <p id={`${id}-problem`} className="problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}

/** The button stays where the focus can be while it is sending. */
export function Send({ label, isSending, problem }: { label: string } & Omit<Submit, "submit">): ReactNode {
  return (
    <div className="send">
      <button type="submit" className="primary" aria-disabled={isSending}>
        {label}
      </button>
      <span className="hidden" role="status">
        {isSending ? "Sending…" : ""}
      </span>
      {problem && problem.field === undefined && (
        <p className="problem" role="alert">
          {problem.message} Your text is still here.
        </p>
      )}
    </div>
  );
}

function sendOnEnter(event: KeyboardEvent<HTMLTextAreaElement>): void {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  event.currentTarget.form?.requestSubmit();
}
