/** The state of a window's connection, a switch that cuts it, and what the connection after that brought. */

import { type ReactNode, useEffect, useRef, useState } from "react";
import { type NotifyClient, useConnection, useCounts } from "../notify";

/**
 * Cuts and heals the connection of one socket, which recovers then: the server knows it again by its pid. Done in the
 * moment of the click, and by `_close` alone: after `reconnection(false)`, or `engine.close()`, which waits for an
 * upgrade, the manager never tries again where it is healed too soon.
 */
export function useCut({ socket }: NotifyClient): [boolean, (isCut: boolean) => void] {
  const [cutSocket, setCutSocket] = useState<NotifyClient["socket"]>();
  const cut = (isWanted: boolean) => {
    if (isWanted) socket.io._close();
    else socket.connect();
    setCutSocket(isWanted ? socket : undefined);
  };
  return [cutSocket === socket, cut];
}

export function ConnectionState(): ReactNode {
  const { status, problem } = useConnection();
  return (
    <span className="state" data-status={status} role="status" title={problem ?? undefined}>
      <span className="hidden">Connection: </span>
      <span>{status}</span>
    </span>
  );
}

interface ConnectionSwitchProps {
  isCut: boolean;
  cut: (isCut: boolean) => void;
}

export function ConnectionSwitch({ isCut, cut }: ConnectionSwitchProps): ReactNode {
  const missed = useMissed();
  const caughtUp = missed && `${missed.missed} missed while away, ${missed.caughtUp} caught up`;
  return (
    <div className="connection">
      <button
        type="button"
        role="switch"
        aria-checked={!isCut}
        aria-label="Connection"
        className="switch"
        onClick={() => cut(!isCut)}
      >
        <span className="track" aria-hidden="true" />
        <span>Connection: {isCut ? "off" : "on"}</span>
      </button>
      <p className="hint" role="status">
        {isCut ? "What comes now waits in the inbox." : caughtUp}
      </p>
    </div>
  );
}

interface Missed {
  /** By the count of the inbox. */
  readonly missed: number;
  /** By what the connection brought. */
  readonly caughtUp: number;
}

/** What came while there was no connection; undefined until there is one again. */
function useMissed(): Missed | undefined {
  const { status, caughtUp } = useConnection();
  const { unread } = useCounts();
  const [missed, setMissed] = useState<Missed>();
  const unreadWhenLive = useRef<number>(undefined);
  const isAway = useRef(false);
  useEffect(() => {
    if (status === "offline") {
      isAway.current = true;
      setMissed(undefined);
    }
    if (status !== "live") return;
    if (isAway.current && unreadWhenLive.current !== undefined)
      // some of them may have been read elsewhere since
      setMissed({ missed: Math.max(unread - unreadWhenLive.current, caughtUp), caughtUp });
    isAway.current = false;
    unreadWhenLive.current = unread;
  }, [status, unread, caughtUp]);
  return missed;
}
