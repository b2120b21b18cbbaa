/** Names of banners. An id without a name is shown alone. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { BannerList } from "../api/shapes";
import { visible } from "../parts/user";

export type Named = BannerList;

const MOST = 1000;
const EVERY_MS = 60_000;

/** What each banner is called, or an empty text. */
export function useNames(ids: readonly number[]): (id: number) => string {
  const sorted = [...ids].sort((a, b) => a - b).slice(0, MOST);
  const known = useApi<Named>(
    sorted.length ? question("banners", { ids: sorted.join(","), limit: MOST }) : null,
    EVERY_MS,
  );
  const names = new Map(known.data?.banners.map((one) => [one.bannerId, one.name ?? ""]));
  return (id) => visible(names.get(id) ?? "");
}
