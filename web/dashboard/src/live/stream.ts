/** Read streams with fetch, one after the other, until somebody ends it. */

import { batch } from "@preact/signals";
import { ask } from "../api/client";
import { Problem } from "../api/problem";
import { refused } from "../api/resource";
import { learn } from "../state/clock";
import { Parser, type Sent } from "./frames";
import { buckets, frames, type Place, ranking, seen, state } from "./live";

const FAILURES = 3;
const SILENT_MS = 20_000;
const AGAIN_MS = 30_000;
const KEPT_MS = 600_000;

/** Read what is wanted for as long as it is. Return what ends it. */
export function connect(what: string): () => void {
  let isOver = false;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let abort: AbortController | undefined;
  const next = async (): Promise<void> => {
    let pause = 0;
    abort = new AbortController();
    try {
      await stream(what, abort);
      failures = 0;
    } catch (error) {
      if (isOver) return;
      failures++;
      if (error instanceof Problem && error.status === 401) refused.value = error;
      const asked = error instanceof Problem ? (error.retryAfter ?? 0) : 0;
      state.value = failures >= FAILURES ? "polling" : "stale";
      pause = failures >= FAILURES ? AGAIN_MS : Math.max(asked, 1000 * 2 ** (failures - 1));
    }
    if (!isOver) timer = setTimeout(() => void next(), pause);
  };
  void next();
  return () => {
    isOver = true;
    clearTimeout(timer);
    abort?.abort();
  };
}

/** Read one stream to its end. The service ends each after some seconds. */
async function stream(what: string, abort: AbortController): Promise<void> {
  const answer = await ask(`stats/live?${what}`, { signal: abort.signal, headers: { accept: "text/event-stream" } });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new Parser();
  let silence = setTimeout(() => abort.abort(), SILENT_MS);
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENT_MS);
      for (const frame of parser.feed(value)) {
        if (frame.event === "end") return;
        const data = JSON.parse(frame.data);
        if (frame.event === "trouble") state.value = "stale";
        else take(frame.event, data);
      }
    }
  } finally {
    clearTimeout(silence);
    void reader.cancel().catch(() => {});
  }
}

function take(event: string, data: { asOf: string; banners: unknown }): void {
  learn(data.asOf);
  batch(() => {
    if (event === "counts") buckets.take(data.banners as Sent[]);
    else if (event === "ranking") ranking.value = ranked(data.banners as [number, number][]);
    else return;
    seen.value = Date.parse(data.asOf);
    buckets.trim(new Date(seen.peek() - KEPT_MS).toISOString());
    state.value = "live";
    frames.value++;
  });
}

const ranked = (pairs: readonly (readonly [number, number])[]): Place[] =>
  pairs.map(([bannerId, count]) => ({ bannerId, count }));
