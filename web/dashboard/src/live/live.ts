/** One stream of the page: what its panels want, read with fetch, since EventSource hides the status and Retry-After.
 *
 * Streams are short by design: the service ends each after some seconds, and the next begins at once. After three failures
 * the page polls instead, and tries a stream again now and then.
 */

import { effect, signal } from "@preact/signals";
import { isVisible } from "../state/clock";
import { query } from "../state/url";
import { Buckets } from "./frames";

export type LiveState = "off" | "connecting" | "live" | "polling" | "paused" | "stale";

export interface Place {
  readonly bannerId: number;
  readonly count: number;
}

export const state = signal<LiveState>("off");
/** The time of the service at the last frame. */
export const seen = signal(0);
/** Rises with every frame, so that what shows buckets is drawn again. */
export const frames = signal(0);
export const ranking = signal<readonly Place[] | undefined>(undefined);
export const buckets = new Buckets();

/** Whether the address asks for it. */
export const isAsked = () => query.value.get("live") === "1";

/** What the panels of the view want: banners, or the ranking. */
const wanted = new Map<symbol, string>();
const question = signal("");

/** Want banners or a ranking. Return what ends it. */
export function want(what: string): () => void {
  const key = Symbol(what);
  wanted.set(key, what);
  renewed();
  return () => {
    wanted.delete(key);
    renewed();
  };
}

function renewed(): void {
  const ids = [
    ...new Set([...wanted.values()].filter((one) => !one.startsWith("top")).flatMap((one) => one.split(","))),
  ];
  const top = [...wanted.values()].find((one) => one.startsWith("top"));
  question.value = ids.length ? `bannerIds=${ids.slice(0, 100).join(",")}` : (top ?? "");
}

/** Ends the stream that is read now. */
let end = () => {};

export function start(): void {
  effect(() => {
    const what = question.value;
    const isWanted = isAsked() && what !== "";
    const isSeen = isVisible.value;
    end();
    if (!isWanted) {
      state.value = "off";
      ranking.value = undefined;
      buckets.clear();
    } else if (!isSeen) {
      state.value = "paused";
    } else {
      state.value = "connecting";
      let isOver = false;
      end = () => {
        isOver = true;
      };
      // What reads streams is fetched when live mode is first asked for.
      void import("../more").then(({ connect }) => {
        if (!isOver) end = connect(what);
      });
    }
  });
}
