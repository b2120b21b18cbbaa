// Build t.ts into t.js and t.<first 8 of its sha256>.js, in ingest/static or in the folder that is given. Print both.
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildSync, transformSync } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const folder = process.argv[2] ?? join(here, "../../ingest/static");
const target = "es2021";
const [{ text }] = buildSync({
  entryPoints: [join(here, "t.ts")],
  bundle: true,
  format: "esm",
  minifySyntax: true,
  target,
  write: false,
}).outputFiles;
// A block keeps the names of a classic script to itself. What is bundled has only `var` on top.
const { code } = transformSync(`{${text.replace(/^var /gm, "let ")}}`, { minify: true, target });
const [, run, rest, call] = /^\{let (\w+)=(.+);(self\.tally[^;]+)\}$/.exec(code.trim());
// The one function is called once: in its place it needs no name and no block.
const content = call.replace(`${run}(`, () => `(${rest})(`);
const name = `t.${createHash("sha256").update(content).digest("hex").slice(0, 8)}.js`;
for (const one of ["t.js", name]) writeFileSync(join(folder, one), content);
console.log(`${name} ${content.length}`);
