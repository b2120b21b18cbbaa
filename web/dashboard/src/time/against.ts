/** The range that a ranking of clicks is compared with. */

import { question, type Values } from "../api/client";
import { useApi } from "../api/resource";
import { now } from "../state/clock";
import { before, range } from "../view";
import { type Covered, cutOf, ends } from "./clicks";
import { moment, type Range } from "./range";

/** Its ends, cut at the elapsed time where the range is running; nothing while it is not known where its days begin. */
export function useAgainst(): Values | undefined {
  const asked = range.value;
  const past = before.value;
  const isCut = past !== undefined && asked.isRunning;
  const current = useCovered(isCut ? asked : undefined);
  const former = useCovered(isCut ? past : undefined);
  if (!past) return {};
  if (!isCut) return { againstFrom: past.from, againstTo: past.to };
  if (current === null || former === null) return {}; // nobody can say, so nothing is compared
  if (!current || !former) return undefined;
  const cut = cutOf({ ...current, asOf: moment(now.value) }, former);
  return cut ? { againstFrom: cut.tsFrom, againstTo: cut.tsTo } : {};
}

/** The ends of a range as moments. Where days begin is asked of the service: of one banner, which costs next to nothing. */
function useCovered(asked: Range | undefined): Omit<Covered, "asOf"> | null | undefined {
  const found = useApi<Covered>(asked?.isDays ? question("stats/1", { ...ends(asked), step: "day" }) : null);
  if (!asked) return undefined;
  if (!asked.isDays) return { tsFrom: asked.from, tsTo: asked.to };
  return found.problem ? null : found.isStale ? undefined : found.data;
}
