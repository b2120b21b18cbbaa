/** The time of the service, and when to ask again. */

import { signal } from "@preact/signals";

/** Milliseconds by which the service is ahead of this machine. `asOf` of the last answer says it. */
let ahead = 0;

export function learn(asOf: string | undefined): void {
  const at = asOf ? Date.parse(asOf) : Number.NaN;
  // Answers are on their way for a moment; only a clock that is wrong by more matters.
  if (Number.isFinite(at) && Math.abs(at - Date.now() - ahead) > 5_000) ahead = at - Date.now();
}

export const serviceNow = () => Date.now() + ahead;

/** The time of the service at the last whole ten seconds: relative ranges follow it. */
export const now = signal(serviceNow());
export const isVisible = signal(!document.hidden);

const listeners = new Set<() => void>();

/** Call something every second while the page is visible, and at once when it is seen again. */
export function eachSecond(call: () => void): () => void {
  listeners.add(call);
  return () => listeners.delete(call);
}

function tick(): void {
  if (document.hidden) return;
  const at = Math.floor(serviceNow() / 10_000) * 10_000;
  if (at !== now.peek()) now.value = at;
  for (const call of [...listeners]) call();
}

export function start(): void {
  now.value = Math.floor(serviceNow() / 10_000) * 10_000;
  setInterval(tick, 1000);
  document.addEventListener("visibilitychange", () => {
    isVisible.value = !document.hidden;
    tick();
  });
}
