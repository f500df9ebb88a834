/** One group in the centre: its sentence, its time, what can be done with it, and each of its notifications. */

import { type KeyboardEvent, type MouseEvent, type ReactNode, useId, useRef, useState } from "react";
import type { Group } from "./groups.js";
import { type Labels, type Phrase, useLabels } from "./labels.js";
import { Avatar, Icon, Sentence, Time } from "./parts.js";
import type { Entry } from "./protocol.js";

export interface RowActions {
  open: (entry: Entry, group: Group, event: MouseEvent) => void;
  href: ((entry: Entry) => string | undefined) | undefined;
  postTitle: ((entry: Entry) => string | undefined) | undefined;
  markRead: (seqs: readonly number[]) => void;
  markUnread: (seqs: readonly number[]) => void;
  remove: (seqs: readonly number[]) => void;
  mute: (topic: string) => void;
}

const MUTABLE_PEOPLE = 3; // whoever else is in a large group has a notification of their own one day

interface RowProps {
  group: Group;
  actions: RowActions;
  /** Whether Tab stops here; the arrow keys reach the others. */
  isCurrent: boolean;
  onFocus: () => void;
}

export function NotificationRow({ group, actions, isCurrent, onFocus }: RowProps): ReactNode {
  const labels = useLabels();
  const [isExpanded, setExpanded] = useState(false);
  const [isOffering, setOffering] = useState(false);
  const id = useId();
  const more = useRef<HTMLButtonElement>(null);
  const done = () => {
    setOffering(false);
    more.current?.focus();
  };
  const leaveActions = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !isOffering) return;
    event.stopPropagation(); // the panel stays open
    done();
  };
  const [newest] = group.entries;
  const tabIndex = isCurrent ? 0 : -1;
  const phrase = phraseOf(group, actions.postTitle?.(newest), labels);
  return (
    <li
      className="notify-row"
      data-unread={group.unread > 0 || undefined}
      onFocus={onFocus}
      onKeyDown={leaveActions}
    >
      <div className="notify-row-main">
        <Opener entry={newest} group={group} actions={actions} tabIndex={tabIndex}>
          <Avatar name={group.people[0]?.name ?? ""} />
          <span className="notify-text">
            <Sentence phrase={phrase} />{" "}
            <span className="notify-meta">
              <Time at={newest.createdAt} />
            </span>
          </span>
          <UnreadMark count={group.unread} />
        </Opener>
        <button
          ref={more}
          type="button"
          className="notify-icon-button"
          tabIndex={tabIndex}
          aria-expanded={isOffering}
          aria-controls={isOffering ? `${id}-actions` : undefined}
          aria-label={`${labels.actions}: ${textOf(phrase)}`}
          onClick={() => setOffering(!isOffering)}
        >
          <Icon of="more" />
        </button>
      </div>
      {isOffering && <GroupActions id={`${id}-actions`} group={group} actions={actions} done={done} />}
      {group.entries.length > 1 && (
        <>
          <button
            type="button"
            className="notify-link notify-show-each"
            tabIndex={tabIndex}
            aria-expanded={isExpanded}
            aria-controls={isExpanded ? `${id}-each` : undefined}
            onClick={() => setExpanded(!isExpanded)}
          >
            {isExpanded ? labels.hideEach : labels.showEach(group.entries.length)}
          </button>
          {isExpanded && (
            <ul id={`${id}-each`} className="notify-each">
              {group.entries.map((entry) => (
                <li key={entry.seq} data-unread={entry.readAt === null || undefined}>
                  <Opener
                    entry={entry}
                    group={{ ...group, entries: [entry] }}
                    actions={actions}
                    tabIndex={tabIndex}
                  >
                    <span className="notify-text">
                      <Sentence phrase={whoOf(entry, labels)} />{" "}
                      <span className="notify-meta">
                        <Time at={entry.createdAt} />
                      </span>
                    </span>
                    <UnreadMark count={entry.readAt === null ? 1 : 0} />
                  </Opener>
                </li>
              ))}
            </ul>
          )}
        </>
      )}
    </li>
  );
}

/** A link where the app says where to, so that it opens in a new tab as any link does; a button elsewhere. */
function Opener({
  entry,
  group,
  actions,
  tabIndex,
  children,
}: {
  entry: Entry;
  group: Group;
  actions: RowActions;
  tabIndex: number;
  children: ReactNode;
}): ReactNode {
  const href = actions.href?.(entry);
  const shared = { className: "notify-open", "data-notify-row": "", tabIndex };
  const open = (event: MouseEvent) => actions.open(entry, group, event);
  if (href === undefined)
    return (
      <button type="button" {...shared} onClick={open}>
        {children}
      </button>
    );
  return (
    <a {...shared} href={href} onClick={open}>
      {children}
    </a>
  );
}

function UnreadMark({ count }: { count: number }): ReactNode {
  const { unread } = useLabels();
  if (count === 0) return null;
  return (
    <span className="notify-unread">
      <span className="notify-hidden">, {unread}</span>
    </span>
  );
}

function GroupActions({
  id,
  group,
  actions,
  done,
}: {
  id: string;
  group: Group;
  actions: RowActions;
  done: () => void;
}): ReactNode {
  const labels = useLabels();
  const seqs = group.entries.map((entry) => entry.seq);
  const action = (label: string, act: () => void) => (
    <button
      type="button"
      className="notify-button"
      onClick={() => {
        done();
        act();
      }}
    >
      {label}
    </button>
  );
  const { topic } = group;
  return (
    <fieldset id={id} className="notify-actions" aria-label={labels.actions}>
      {group.unread > 0
        ? action(labels.markRead, () => actions.markRead(seqs))
        : action(labels.markUnread, () => actions.markUnread(seqs))}
      {topic?.startsWith("post:") && action(labels.mutePost, () => actions.mute(topic))}
      {group.people
        .slice(0, MUTABLE_PEOPLE)
        .map(({ name, topic: person }) =>
          person === null ? null : (
            <span key={person}>{action(labels.mutePerson(name), () => actions.mute(person))}</span>
          ),
        )}
      {action(labels.remove, () => actions.remove(seqs))}
    </fieldset>
  );
}

/** One notification has the words that the server gave it, unless the app knows the post's title. */
function phraseOf(group: Group, title: string | undefined, labels: Labels): Phrase {
  const { entries, people, type } = group;
  if (entries.length === 1 && (title === undefined || type !== "comment"))
    return messageOf(entries[0], labels);
  return labels.comments({ names: people.map((person) => person.name), count: entries.length, title });
}

function messageOf({ payload }: Entry, labels: Labels): Phrase {
  const { message = labels.untitled, fromUser } = payload;
  if (fromUser && message.startsWith(fromUser)) return [{ strong: fromUser }, message.slice(fromUser.length)];
  return [message];
}

/** Below a sentence that says the rest. */
function whoOf(entry: Entry, labels: Labels): Phrase {
  const { fromUser } = entry.payload;
  return fromUser ? [{ strong: fromUser }] : messageOf(entry, labels);
}

function textOf(phrase: Phrase): string {
  return phrase.map((part) => (typeof part === "string" ? part : part.strong)).join("");
}
