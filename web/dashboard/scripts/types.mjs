// Make the types of the interface from its document, into src/api or into the file that is given.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import openapiTS, { astToString } from "openapi-typescript";

const HERE = join(import.meta.dirname, "..");
const described = JSON.parse(readFileSync(join(HERE, "../../docs/openapi.json"), "utf8"));
const head = "// Made by `npm run types` from docs/openapi.json. Do not edit.\n\n";
writeFileSync(process.argv[2] ?? join(HERE, "src/api/schema.d.ts"), head + astToString(await openapiTS(described)));
