// Fail when the first load is larger than its budget: bytes with gzip, as the service sends them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const KB = 1024;
const FIRST = { "app.js": 32 * KB, "chart.js": 25 * KB, "app.css": 6 * KB };
const TOTAL = 60 * KB;
/** Views that the first load does not need. */
const BUDGETS = { ...FIRST, "more.js": 26 * KB };

export function checkSizes(folder) {
  const sizes = Object.fromEntries(
    readdirSync(folder).map((name) => [name, gzipSync(readFileSync(join(folder, name)), { level: 9 }).length]),
  );
  const loaded = Object.keys(FIRST).reduce((sum, name) => sum + sizes[name], 0);
  const over = Object.entries(BUDGETS).filter(([name, most]) => sizes[name] > most);
  for (const [name, most] of Object.entries(BUDGETS)) {
    process.stdout.write(`${name.padEnd(10)} ${sizes[name]} of ${most} bytes\n`);
  }
  process.stdout.write(`${"first load".padEnd(10)} ${loaded} of ${TOTAL} bytes\n`);
  const unknown = Object.keys(sizes).filter(
    (name) => !/^(app\.(js|css)|(chart|more)\.js|index\.html|icon\.svg|licences\.txt)$/.test(name),
  );
  if (over.length || loaded > TOTAL || unknown.length) {
    process.stderr.write(`over budget: ${over.map(([name]) => name).join(", ") || "together"}; unknown: ${unknown}\n`);
    process.exit(1);
  }
}
