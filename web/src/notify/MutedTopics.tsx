/** What somebody has muted, to be unmuted. */

import { type ReactNode, useRef } from "react";
import { useLabels } from "./labels.js";
import { Icon } from "./parts.js";

interface MutedTopicsProps {
  mutes: readonly string[] | undefined;
  unmute: (topic: string) => void;
  topicName: ((kind: string, id: string) => string | undefined) | undefined;
  back: () => void;
}

export function MutedTopics({ mutes, unmute, topicName, back }: MutedTopicsProps): ReactNode {
  const labels = useLabels();
  const list = useRef<HTMLDivElement>(null);
  const nameOf = (topic: string) => {
    const [kind = "", ...rest] = topic.split(":");
    const id = rest.join(":");
    return topicName?.(kind, id) ?? labels.topic(kind, id);
  };
  const unmuteOne = (topic: string) => {
    const buttons = [...(list.current?.querySelectorAll("button") ?? [])];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    (buttons[at + 1] ?? buttons[at - 1])?.focus();
    unmute(topic);
  };
  return (
    <div ref={list} className="notify-list">
      <button type="button" className="notify-link notify-back" onClick={back}>
        <Icon of="back" /> {labels.back}
      </button>
      <h3 className="notify-muted-title">{labels.muted}</h3>
      {mutes === undefined && <p className="notify-empty">{labels.loading}</p>}
      {mutes?.length === 0 && <p className="notify-empty">{labels.nothingMuted}</p>}
      <ul className="notify-muted">
        {mutes?.map((topic) => (
          <li key={topic}>
            <bdi>{nameOf(topic)}</bdi>
            <button
              type="button"
              className="notify-button"
              aria-label={`${labels.unmute} ${nameOf(topic)}`}
              onClick={() => unmuteOne(topic)}
            >
              {labels.unmute}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
