// @vitest-environment node
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { NotificationBell, NotificationCentre, NotifyProvider, useNotifications } from "./index.js";

function App({ user }: { user: number | null }) {
  return (
    <NotifyProvider value={useNotifications(user)}>
      <NotificationBell />
      <NotificationCentre />
    </NotifyProvider>
  );
}

test.each([7, null])(
  "an app that renders on its server shows a bell, and connects to nothing: user %s",
  (user) => {
    const html = renderToString(<App user={user} />);
    expect(html).toContain('aria-label="Notifications"');
    expect(html).toContain("Loading…");
  },
);
