import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const server = "http://localhost:5000";

export default defineConfig({
  plugins: [react()],
  server: {
    proxy: {
      "/auth": server,
      "/users": server,
      "/posts": server,
      "/likes": server,
      "/socket.io": { target: server, ws: true },
    },
  },
});
