import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { cell, csv } from "../src/export/csv";
import { curl, quoted } from "../src/export/curl";
import { fileName } from "../src/export/menu";

const CELLS = JSON.parse(
  readFileSync(new URL("../../../tests/unit/ingest/csv_cells.json", `file://${import.meta.dirname}/`), "utf8"),
) as [string, string][];

describe("csv", () => {
  it.each(CELLS)("writes %j as the service does", (text, expected) => {
    expect(cell(text)).toBe(expected);
  });

  it("leaves numbers as they are and nothing empty", () => {
    const columns = [
      { key: "a", name: "=a", text: (row: { a: number | null }) => row.a },
      { key: "b", name: "b", text: () => "x,y" },
    ];
    expect(csv(columns, [{ a: -3 }, { a: null }])).toBe('\'=a,b\r\n-3,"x,y"\r\n,"x,y"\r\n');
  });
});

describe("commands", () => {
  it.each([
    ["http://127.0.0.1:8080/stats?a=1&b=2", "'http://127.0.0.1:8080/stats?a=1&b=2'"],
    ["'; rm -rf /", "''\\''; rm -rf /'"],
    ["$(id)`id`\\", "'$(id)`id`\\'"],
    ["plain-1.2", "plain-1.2"],
  ])("quote %s", (text, expected) => {
    expect(quoted(text)).toBe(expected);
  });

  it("never hold a key", () => {
    expect(curl("http://h/stats/1", true, "text/csv")).toBe(
      "curl -sS http://h/stats/1 -H \"Authorization: Bearer $KEY\" -H 'Accept: text/csv'",
    );
  });

  it("have names of files without anything that somebody wrote", () => {
    expect(fileName(["banner", "42", "2026-03-01T12:00:00Z", "Europe/Berlin", undefined, "../x"])).toBe(
      "tallybook-banner-42-2026-03-01t12-00-00z-europe-berlin-x",
    );
  });
});
