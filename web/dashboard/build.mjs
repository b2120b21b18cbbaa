// Build the dashboard into ingest/static/ui, or into the folder that is given. Fail when it is larger than its budget.
import { join } from "node:path";
import { build } from "vite";
import { writeLicences } from "./scripts/licences.mjs";
import { checkSizes } from "./scripts/size.mjs";

const folder = process.argv[2] ?? join(import.meta.dirname, "../../ingest/static/ui");
await build({ root: import.meta.dirname, logLevel: "warn", build: { outDir: folder } });
writeLicences(folder);
checkSizes(folder);
