/** Each window has its own toasts, which stay inside it. */

import type { ReactNode } from "react";
import { Slide, ToastContainer, toast } from "react-toastify/unstyled";
import "react-toastify/ReactToastify.css";
import type { Notification } from "../notify";
import { Avatar } from "../notify/parts";
import type { Side } from "./choice";

export function Toasts({ side, label }: { side: Side; label: string }): ReactNode {
  return (
    <ToastContainer
      containerId={side}
      aria-label={label}
      position="top-right"
      newestOnTop // and no limit: what waits would be announced late, and never in a tab that nobody looks at
      transition={Slide}
      pauseOnFocusLoss={false} // two windows side by side: one of them never has the focus
      hotKeys={() => false} // there are two of them, and the bell has the same and more
    />
  );
}

export function showToast(side: Side, notification: Notification, open: () => void): void {
  const { message = "Something happened", fromUser, postId } = notification;
  toast(
    ({ closeToast }) => (
      <>
        <Avatar name={fromUser ?? message} />
        <p dir="auto">{message}</p>
        {postId !== undefined && (
          <button
            type="button"
            className="link"
            onClick={() => {
              closeToast();
              open();
            }}
          >
            Show
          </button>
        )}
      </>
    ),
    { containerId: side, role: "status" },
  );
}

export function clearToasts(side: Side): void {
  toast.clearWaitingQueue({ containerId: side });
  toast.dismiss({ containerId: side });
}
