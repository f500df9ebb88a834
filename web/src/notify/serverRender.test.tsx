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

test("an app that renders on its server shows a bell, and connects to nothing", () => {
  const html = renderToString(<App user={7} />);
  expect(html).toContain('aria-label="Notifications"');
  expect(html).toContain("Loading…");
});

test("without a user it shows neither", () => {
  expect(renderToString(<App user={null} />)).toBe("");
});
