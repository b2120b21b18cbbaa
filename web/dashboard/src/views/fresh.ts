/** Until when the tables of ClickHouse are complete. Their answers carry no `final`, so buckets are open until then. */

import { useApi } from "../api/resource";
import type { Freshness } from "../api/shapes";
import { serviceNow } from "../state/clock";
import { range } from "../view";

const EVERY_MS = 15_000;

/** The moment up to which every row of a table is stored, in milliseconds since 1970; now where nobody says. */
export function useFresh(table: string): number {
  const fresh = useApi<Freshness>("freshness", range.value.isRunning ? EVERY_MS : 0);
  const until = fresh.data?.tables[table]?.freshUntil;
  return until ? Date.parse(until) : serviceNow();
}
