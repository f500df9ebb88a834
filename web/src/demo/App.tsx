import { type ReactNode, useCallback, useEffect, useState } from "react";
import { type Side, useChoice } from "./choice";
import type { Config } from "./model";
import { Pane } from "./Pane";
import { useSetting } from "./setting";
import { firstName } from "./window";

export function App({ config }: { config: Config }): ReactNode {
  const [choice, choose] = useChoice(config.people);
  const [front, setFront] = useState<Side>("left");
  const [unread, setUnread] = useState({ left: 0, right: 0 });
  const onLeftUnread = useCallback((left: number) => setUnread((known) => ({ ...known, left })), []);
  const onRightUnread = useCallback((right: number) => setUnread((known) => ({ ...known, right })), []);
  if (!choice)
    return (
      <main className="blank">
        <p>There are no people in this database yet.</p>
      </main>
    );
  const tab = (side: Side) => (
    <button type="button" aria-pressed={front === side} onClick={() => setFront(side)}>
      <bdi>{firstName(choice[side].name)}</bdi>
      {front !== side && unread[side] > 0 && (
        <span className="dot">
          <span className="hidden">, {unread[side]} unread</span>
        </span>
      )}
    </button>
  );
  return (
    <div className="page">
      <Header isAlone={choice.alone !== undefined} />
      {!choice.alone && (
        <section className="tabs" aria-label="Whose window">
          {tab("left")}
          {tab("right")}
        </section>
      )}
      <main className="panes" data-front={choice.alone ? undefined : front}>
        <Pane
          config={config}
          choice={choice}
          side="left"
          onChoose={(id) => choose(choice.alone ? "alone" : "left", id)}
          onUnread={onLeftUnread}
        />
        {!choice.alone && (
          <Pane
            config={config}
            choice={choice}
            side="right"
            onChoose={(id) => choose("right", id)}
            onUnread={onRightUnread}
          />
        )}
      </main>
    </div>
  );
}

function Header({ isAlone }: { isAlone: boolean }): ReactNode {
  return (
    <header className="head">
      <h1>notify-server</h1>
      <div className="story">
        {isAlone ? (
          <p>
            One person's window. <a href="/">Two, side by side</a>
          </p>
        ) : (
          <p>Two people, two windows. Comment in one: the other is told at once.</p>
        )}{" "}
        <nav aria-label="More">
          <a href="/plain/">The same with an unchanged hook</a>
        </nav>
      </div>
      <Theme />
    </header>
  );
}

const THEMES = ["auto", "light", "dark"] as const;

function Theme(): ReactNode {
  const [theme, setTheme] = useSetting("notify-demo-theme", THEMES);
  useEffect(() => {
    document.documentElement.style.colorScheme = theme === "auto" ? "" : theme;
  }, [theme]);
  return (
    <fieldset className="theme" aria-label="Theme">
      {THEMES.map((name) => (
        <label key={name}>
          <input
            type="radio"
            name="theme"
            value={name}
            checked={theme === name}
            onChange={() => setTheme(name)}
          />
          <span>{name}</span>
        </label>
      ))}
    </fieldset>
  );
}
