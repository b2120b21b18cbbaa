/** Single keys. Every one has a control that can be seen; a setting turns them off (WCAG 2.1.4). */

import { renew } from "../api/resource";
import { GO, pathOf } from "../routes";
import { keys } from "../state/prefs";
import { address, query, set, visit } from "../state/url";
import { COMPARISONS } from "../time/compare";
import { comparison, range } from "../view";
import { shift } from "./toolbar";

const PATIENCE_MS = 1200;

const isField = (target: EventTarget | null) =>
  target instanceof Element && target.closest("input, textarea, select, [contenteditable], dialog") !== null;

const press = (selector: string) => document.querySelector<HTMLElement>(selector)?.click();

/** Listen to the keyboard. Return what ends it. */
export function listen(open: (what: "find" | "help") => void): () => void {
  let goes = 0;
  const onKeyDown = (event: KeyboardEvent) => {
    if (
      !keys.peek() ||
      event.ctrlKey ||
      event.altKey ||
      event.metaKey ||
      event.defaultPrevented ||
      isField(event.target)
    )
      return;
    const went = Date.now() - goes < PATIENCE_MS;
    goes = 0;
    if (went) {
      const view = GO[event.key];
      if (view === undefined) return;
      event.preventDefault();
      visit(address(pathOf(view)));
      return;
    }
    const act = actions[event.key];
    if (event.key === "g") goes = Date.now();
    else if (event.key === "/") open("find");
    else if (event.key === "?") open("help");
    else if (act) act();
    else return;
    event.preventDefault();
  };
  document.addEventListener("keydown", onKeyDown);
  return () => document.removeEventListener("keydown", onKeyDown);
}

const actions: Readonly<Record<string, () => void>> = {
  "[": () => shift(-1),
  "]": () => range.peek().isRunning || shift(1),
  ".": () => renew(),
  v: () => set({ view: query.peek().get("view") === "table" ? null : "table" }),
  c: () => {
    const next = COMPARISONS[(COMPARISONS.indexOf(comparison.peek()) + 1) % COMPARISONS.length]!;
    set({ vs: next === "previous" ? null : next });
  },
  l: () => press("[data-key=live]"),
  x: () => press("[data-menu=export]"),
};
