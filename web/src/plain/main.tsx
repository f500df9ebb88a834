/** What an app has today, and nothing else: the hook as it is, in front of notify-server. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ToastContainer } from "react-toastify/unstyled";
import "react-toastify/ReactToastify.css";
import "./plain.css";
import { useNotifications } from "./useNotifications";
import source from "./useNotifications.ts?raw";

function Plain({ userId }: { userId: string }) {
  useNotifications(userId);
  return (
    <>
      <header>
        <a href="/">← notify-server demo</a>
      </header>
      <main>
        <h1>The unchanged hook</h1>
        <p>
          This page is what an app has today: a dozen lines that toast what the server sends. It knows nothing
          of notify-server, and has no part of its library. It listens as user{" "}
          <strong>
            <bdi>{userId}</bdi>
          </strong>
          : comment on a post of theirs in the <a href="/">demo</a>, and the toast appears here as well.
        </p>
        <figure>
          <figcaption>useNotifications.ts, which runs on this page</figcaption>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by the keyboard */}
          <pre tabIndex={0}>
            <code>{source}</code>
          </pre>
        </figure>
        <p className="note">
          Another user: <code>?userId=2</code> in the address.
        </p>
      </main>
      <ToastContainer theme="light" position="top-right" />
    </>
  );
}

const userId = new URLSearchParams(location.search).get("userId") || "1";
const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <Plain userId={userId} />
    </StrictMode>,
  );
