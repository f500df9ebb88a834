/** The bell: how many there are, what just came (for screen readers), and the centre when it is opened. */

import {
  type MouseEvent,
  type ReactNode,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { useCounts, useNotifyClient } from "./hooks.js";
import { type Labels, withLabels } from "./labels.js";
import { NotificationCentre, type NotificationCentreProps } from "./NotificationCentre.js";
import { Icon } from "./parts.js";
import type { Entry } from "./protocol.js";

export interface NotificationBellProps extends Omit<NotificationCentreProps, "onClose"> {
  /** Which edges of bell and panel meet. */
  align?: "start" | "end";
  /** Whether screen readers are told what arrives; not where the app's toasts tell them already. */
  announce?: boolean;
}

/** Nothing at all as long as there is no user. */
export function NotificationBell(props: NotificationBellProps): ReactNode {
  const { userId } = useNotifyClient();
  return userId === null ? null : <Bell {...props} />;
}

function Bell({
  align = "end",
  announce = true,
  labels,
  onOpen,
  ...centre
}: NotificationBellProps): ReactNode {
  const { unread, unseen } = useCounts();
  const words = useMemo(() => withLabels(labels), [labels]);
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const bell = useRef<HTMLButtonElement>(null);
  const close = useCallback(() => {
    setOpen(false);
    bell.current?.focus();
  }, []);
  const leave = useCallback(() => setOpen(false), []);
  const open = useCallback(
    (entry: Entry, event: MouseEvent) => {
      close();
      onOpen?.(entry, event);
    },
    [close, onOpen],
  );
  return (
    <div ref={root} className="notify">
      <button
        ref={bell}
        type="button"
        className="notify-bell"
        aria-label={words.bell(unread)}
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        data-unseen={unseen > 0 || undefined}
        onClick={() => (isOpen ? close() : setOpen(true))}
      >
        <Icon of="bell" />
        {unread > 0 && <span className="notify-badge">{unread > 99 ? "99+" : unread}</span>}
      </button>
      {isOpen && (
        <Panel title={words.title} align={align} root={root} close={close} leave={leave}>
          <NotificationCentre {...centre} labels={labels} onOpen={open} onClose={close} />
        </Panel>
      )}
      {announce && <Announcer labels={words} />}
    </div>
  );
}

function Panel({
  title,
  align,
  root,
  close,
  leave,
  children,
}: {
  title: string;
  align: "start" | "end";
  root: React.RefObject<HTMLElement | null>;
  /** Back to the bell. */
  close: () => void;
  /** The focus has gone elsewhere, and stays there. */
  leave: () => void;
  children: ReactNode;
}): ReactNode {
  const panel = useRef<HTMLDivElement>(null);
  useEffect(() => panel.current?.focus(), []);
  useEffect(() => {
    const isOutside = (target: EventTarget | null) =>
      target instanceof Node && !root.current?.contains(target);
    const onPointer = (event: PointerEvent) => isOutside(event.target) && leave();
    const onFocus = (event: FocusEvent) => isOutside(event.target) && leave();
    document.addEventListener("pointerdown", onPointer);
    document.addEventListener("focusin", onFocus);
    return () => {
      document.removeEventListener("pointerdown", onPointer);
      document.removeEventListener("focusin", onFocus);
    };
  }, [root, leave]);
  return (
    <div
      ref={panel}
      className="notify-panel"
      data-align={align}
      role="dialog"
      aria-label={title}
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        close();
      }}
    >
      {children}
    </div>
  );
}

const TOGETHER_MS = 500;
const SAID_MS = 5000;

/** The region is there before the first message, or screen readers would not watch it. */
function Announcer({ labels }: { labels: Labels }): ReactNode {
  const client = useNotifyClient();
  const [text, setText] = useState("");
  const words = useRef(labels); // those of the moment when it is said: an app may make them anew at each render
  useLayoutEffect(() => {
    words.current = labels;
  });
  useEffect(() => {
    let messages: (string | undefined)[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const say = () => {
      const { arrived, untitled } = words.current;
      setText(messages.length === 1 ? messages[0] || untitled : arrived(messages.length));
      messages = [];
      timer = setTimeout(() => setText(""), SAID_MS);
    };
    const stop = client.listen((notification) => {
      messages.push(notification.message);
      if (messages.length > 1) return; // said together
      setText(""); // the same words a second time are no change, and would not be said
      clearTimeout(timer);
      timer = setTimeout(say, TOGETHER_MS);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [client]);
  return (
    <div className="notify-hidden" role="status" aria-live="polite">
      {text}
    </div>
  );
}
