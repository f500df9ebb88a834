/** `npm run package`: src/notify as a package for other apps, in dist/. */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const [, version] =
  /__version__ = "(.+)"/.exec(readFileSync(here("../notify_server/__init__.py"), "utf8")) ?? [];

const description = {
  name: "notify-server-react",
  version,
  description: "Notifications in React: the hook, the bell and the centre for notify-server",
  license: "MIT",
  type: "module",
  sideEffects: ["**/*.css"],
  exports: { ".": { types: "./types/index.d.ts", default: "./index.js" }, "./styles.css": "./styles.css" },
  types: "./types/index.d.ts",
  peerDependencies: { react: ">=18", "socket.io-client": ">=4.6 <5" },
};

export default defineConfig({
  plugins: [
    react(),
    {
      name: "what-is-not-compiled",
      closeBundle() {
        writeFileSync(here("dist/package.json"), `${JSON.stringify(description, null, 2)}\n`);
        for (const name of ["README.md", "styles.css"])
          copyFileSync(here(`src/notify/${name}`), here(`dist/${name}`));
        copyFileSync(here("../LICENSE"), here("dist/LICENSE"));
      },
    },
  ],
  publicDir: false,
  build: {
    outDir: here("dist"),
    emptyOutDir: true,
    sourcemap: true,
    minify: false,
    lib: { entry: here("src/notify/index.ts"), formats: ["es"], fileName: () => "index.js" },
    rolldownOptions: {
      external: [/^react($|\/)/, "socket.io-client"],
      output: { banner: '"use client";' }, // where an app renders on its server, these components are the browser's
    },
  },
});
