import { defineConfig } from "vitest/config";

process.env.TZ = "Asia/Tokyo"; // the viewer is elsewhere than the project, so that a mixed-up zone shows

export default defineConfig({
  test: {
    environment: "jsdom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/testing/setup.ts"],
    isolate: false, // one jsdom for all files takes a fifth of the time; setup.ts cleans up
  },
});
