import { type ReactNode, StrictMode, useCallback, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import "./base.css";
import "../notify/styles.css";
import { App } from "./App";
import { ApiError, fetchConfig } from "./api";
import type { Config } from "./model";
import "./page.css";
import "./window.css";
import "./feed.css";
import "./forms.css";
import "./toasts.css";

const AGAIN_MS = 3000;

/** The page needs to know the server's people and paths before it can show anything. */
function Start(): ReactNode {
  const [config, setConfig] = useState<Config>();
  const [problem, setProblem] = useState<string | null>(null);
  const load = useCallback(async () => {
    try {
      const fetched = await fetchConfig();
      setConfig((known) => known ?? fetched);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.message);
    }
  }, []);
  useEffect(() => {
    if (config) return;
    void load();
    const timer = setInterval(() => void load(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [config, load]);
  if (config) return <App config={config} />;
  return (
    <main className="blank">
      <h1>notify-server</h1>
      <p role="status">{problem === null ? "Loading…" : `${problem} This is tried again by itself.`}</p>
      {problem !== null && (
        <button type="button" className="secondary" onClick={() => void load()}>
          Try again
        </button>
      )}
    </main>
  );
}

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <StrictMode>
      <Start />
    </StrictMode>,
  );
