import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["convex/**/*.test.ts", "tests/convex_host/**/*.test.ts"],
    environment: "node",
    testTimeout: 60_000,
  },
});
