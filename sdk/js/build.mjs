// Build dist/: esm and cjs from src, and browser from web/snippet.
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
const compile = (...options) => execFileSync(process.execPath, [tsc, ...options], { cwd: here, stdio: "inherit" });

// The components of the types that the dashboard has of the interface. Names of its routes stay behind.
const types = readFileSync(join(here, "../../web/dashboard/src/api/schema.d.ts"), "utf8");
const components = /^export interface components \{\n.*?^\}\n/ms.exec(types)[0];
writeFileSync(
  join(here, "src/schema.d.ts"),
  `// Made by build.mjs from docs/openapi.json. Do not edit.\n\n${components}`,
);

rmSync(join(here, "dist"), { recursive: true, force: true });
compile();
// Types are looked at once: above, and those of the pages by their own tests.
compile(
  ...["--outDir", "dist/cjs", "--module", "commonjs", "--moduleResolution", "node10"],
  ...["--verbatimModuleSyntax", "false", "--noCheck"],
);
compile(
  ...["../../web/snippet/start.ts", "--outDir", "dist/browser", "--target", "es2021", "--module", "esnext"],
  ...["--moduleResolution", "bundler", "--lib", "es2021,dom,dom.iterable", "--strict"],
  ...["--declaration", "--removeComments", "--noCheck"],
);
for (const kind of ["esm", "cjs"]) copyFileSync(join(here, "src/schema.d.ts"), join(here, `dist/${kind}/schema.d.ts`));
writeFileSync(join(here, "dist/cjs/package.json"), '{ "type": "commonjs" }\n');
