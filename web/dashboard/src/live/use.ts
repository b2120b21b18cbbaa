/** What panels read of the stream. */

import { useEffect } from "preact/hooks";
import type { Bucket } from "./frames";
import { buckets, frames, isAsked, type Place, ranking, want } from "./live";

/** Keep these banners in the stream. Return what merges a history with it, and the open bucket of a banner. */
export function useBanners(ids: readonly number[]): {
  merged: (banner: number, history: readonly Bucket[]) => readonly Bucket[];
  latest: (banner: number) => Bucket | undefined;
} {
  const key = ids.slice(0, 100).join(",");
  const isOn = isAsked();
  useEffect(() => (isOn && key ? want(key) : undefined), [isOn, key]);
  frames.value; // draw again with every frame
  return isOn
    ? { merged: (banner, history) => buckets.merged(banner, history), latest: (banner) => buckets.latest(banner) }
    : { merged: (_, history) => history, latest: () => undefined };
}

export const TOP = "top=20&window=60";

/** The ranking of the last 60 minutes, while live mode is on. */
export function useTop(): readonly Place[] | undefined {
  const isOn = isAsked();
  useEffect(() => (isOn ? want(TOP) : undefined), [isOn]);
  return isOn ? ranking.value : undefined;
}
