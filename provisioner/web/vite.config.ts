import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// WEFT_URL is where `npm run dev` finds an appliance (or the test double of `npm run fake`).
const target = process.env.WEFT_URL ?? "http://127.0.0.1:8480";

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // The content security policy allows no data: addresses for scripts and styles.
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  server: { proxy: { "/api": { target, ws: true, secure: false, changeOrigin: false } } },
  test: { include: ["src/**/*.test.ts", "test/**/*.test.ts"], environment: "node" },
});
