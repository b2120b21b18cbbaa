// Write the licences of what the bundle holds.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const HERE = join(import.meta.dirname, "..");
const PACKAGES = ["@preact/signals", "@preact/signals-core", "preact", "uplot"];

export function writeLicences(folder) {
  const texts = PACKAGES.map((name) => {
    const packaged = join(HERE, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(packaged, "package.json"), "utf8"));
    const file = readdirSync(packaged).find((one) => /^licen[cs]e/i.test(one));
    if (!file) throw new Error(`${name} has no licence`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(packaged, file), "utf8").trim()}\n`;
  });
  writeFileSync(join(folder, "licences.txt"), texts.join(`\n${"-".repeat(72)}\n\n`));
}
