import { defineConfig } from "vite";

// The page is part of the Python package: the server sends it from there, under whatever path a proxy gives it.
export default defineConfig({
  base: "./",
  build: {
    outDir: "../whisperx_api/page",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
  },
  server: { proxy: { "/api": "http://127.0.0.1:8000", "/v1": "http://127.0.0.1:8000" } },
});
