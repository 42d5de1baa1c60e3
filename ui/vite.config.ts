import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The dev server asks a running `headrace serve`; its token comes from the environment: HEADRACE_TOKEN=$(cat demo/.headrace/token) make ui-dev
const server = process.env.HEADRACE_URL ?? "http://127.0.0.1:8787";
const authorization = { authorization: `Bearer ${process.env.HEADRACE_TOKEN ?? ""}` };
const proxied = { target: server, changeOrigin: true, headers: authorization };

export default defineConfig({
  base: "/ui/",
  plugins: [react()],
  worker: { format: "es" },
  server: { proxy: { "/api": proxied, "/data": proxied } },
  build: {
    target: "es2022",
    // Older targets lower light-dark() to variables that nothing sets: the theme would silently vanish.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // A script that is inlined, or a stylesheet in a script, would need a weaker content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    license: { fileName: "third-party.md" },
    chunkSizeWarningLimit: 1700,
    reportCompressedSize: true,
  },
});
