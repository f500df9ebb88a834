/** `npm run package`: src/notify as a package for other apps, in dist/. */
import { copyFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [
    react(),
    {
      name: "what-is-not-compiled",
      closeBundle() {
        for (const name of ["package.json", "README.md", "styles.css"])
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
