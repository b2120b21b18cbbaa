import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

const HERE = import.meta.dirname;
const SERVICE = "http://127.0.0.1:8080";

/** Serve the document for `/` and `/ui/*`, as the service does, with the source instead of the bundle. */
function document(): Plugin {
  return {
    name: "document",
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const path = (request.url ?? "").split("?")[0] ?? "";
        if (path !== "/" && !/^\/ui\/(?!assets\/)/.test(path)) return next();
        const page = readFileSync(`${HERE}/public/index.html`, "utf8")
          .replace(/<link rel="stylesheet"[^>]*>/, "")
          .replace("{root}ui/assets/{build}/app.js", "/src/main.tsx")
          .replace("{root}ui/assets/{build}/icon.svg", "/icon.svg")
          .replaceAll("{root}", "/");
        response.setHeader("content-type", "text/html; charset=utf-8");
        response.end(page);
      });
    },
  };
}

/** Every path of the interface goes to a running service. */
function proxied(): Record<string, string> {
  const described = JSON.parse(readFileSync(`${HERE}/../../docs/openapi.json`, "utf8")) as { paths: object };
  const firsts = Object.keys(described.paths).map((path) => `/${path.split("/")[1] ?? ""}`);
  return Object.fromEntries(firsts.filter((path) => path !== "/").map((path) => [`^${path}(/|$|\\?)`, SERVICE]));
}

export default defineConfig(({ command }) => ({
  base: "./",
  appType: "custom",
  plugins: [document()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  server: { proxy: command === "serve" ? proxied() : {} },
  build: {
    target: "es2022",
    outDir: "../../ingest/static/ui",
    emptyOutDir: true,
    cssCodeSplit: false,
    modulePreload: false,
    sourcemap: false,
    reportCompressedSize: false,
    rolldownOptions: {
      input: "src/main.tsx",
      output: {
        entryFileNames: "app.js",
        chunkFileNames: ({ name }) => (name === "plot" ? "chart.js" : `${name}.js`),
        assetFileNames: "app[extname]",
      },
    },
  },
}));
