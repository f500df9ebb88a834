import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: here("../notify_server/static"),
    emptyOutDir: true,
    assetsInlineLimit: 0, // the Content-Security-Policy allows no data: URLs
    rolldownOptions: { input: { demo: here("index.html"), plain: here("plain/index.html") } },
  },
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: [here("src/testSetup.ts")],
    testTimeout: 30_000, // a machine may be busy; nothing here waits for time itself
    restoreMocks: true,
    unstubGlobals: true,
  },
});
