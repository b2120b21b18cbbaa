/** What rankings of rows had before. Their days and hours are whole, so only a range that is over is compared. */

import type { Column } from "../parts/table";
import { said } from "../parts/tile";
import { T } from "../text";
import { change } from "../time/compare";
import { asDates } from "../time/range";
import { before, comparison, range } from "../view";

export const hasFormer = () => before.value !== undefined && !range.value.isRunning;

/** The ends of the range to compare with, as dates. */
export function formerDates(zone: string) {
  if (!hasFormer()) return {};
  const { from, to } = asDates(before.value!, zone);
  return { against_from: from, against_to: to };
}

/** Columns of the number before and its change. */
export function formerColumns<R extends { readonly before?: number }>(
  value: (row: R) => number | undefined,
): Column<R>[] {
  return [
    {
      key: "before",
      name: T.beforeOf(T.comparisons[comparison.value]!),
      isNumber: true,
      isExtra: true,
      sorts: true,
      text: (row) => row.before,
    },
    {
      key: "change",
      name: T.change,
      isNumber: true,
      isExtra: true,
      text: (row) => {
        const count = value(row);
        const found = count === undefined ? undefined : change(count, row.before);
        return found ? said(found) : "–";
      },
    },
  ];
}
