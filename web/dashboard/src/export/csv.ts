/** CSV as the service writes it (`ingest/statistics/csv.py`): RFC 4180, and no cell that a spreadsheet takes for a formula. */

import type { Column } from "../parts/table";

const FORMULA = /(?:^|(?<=\n)|(?<=\r)(?!\n))(?=[\t\r]|(?:[^\S\r\n]|[\ufeff\u200b])*[=+\-@＝＋－＠])/g;
const QUOTED = /[",\r\n]|^\s|\s$/;

export function cell(text: string): string {
  const safe = text.replace(FORMULA, "'");
  return QUOTED.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Numbers stay numbers: a negative one is no formula. */
const written = (value: string | number | null | undefined): string =>
  value === null || value === undefined ? "" : typeof value === "number" ? String(value) : cell(value);

/** The rows as they are on the screen, cell by cell. */
export function csv<R>(columns: readonly Column<R>[], rows: readonly R[]): string {
  const head = columns.map((column) => cell(column.name)).join(",");
  const lines = rows.map((row, index) => columns.map((column) => written(column.text(row, index))).join(","));
  return `${[head, ...lines].join("\r\n")}\r\n`;
}
