/** The address of the page as signals. It is the only state of a view: what is not in it is gone after a reload. */

import { computed, signal } from "@preact/signals";

/** Where the service is, with a slash at its end. The document says it relative to itself, so any prefix works. */
export const ROOT = new URL(
  document.querySelector<HTMLMetaElement>('meta[name="root"]')?.content || "./",
  location.href,
).href;

/** What moves along from view to view. */
const FRAME = ["range", "from", "to", "step", "tz", "vs"];
const KNOWN = new Set([
  ...FRAME,
  ...["b", "page", "type", "seg", "filter", "sort", "view", "live", "at", "marks", "q", "env"],
  ...["start", "window", "windows", "approx", "traffic", "by", "site", "link"],
]);

const inside = () => {
  const here = new URL(location.href);
  const root = new URL(ROOT);
  return here.pathname.startsWith(root.pathname) ? here.pathname.slice(root.pathname.length) : "";
};

/** The path below the root: `` or `ui/banners/42`. */
export const path = signal(inside());
export const query = signal(new URLSearchParams(location.search));

/** Parameters whose values could not be used; views and the frame add to it while they read. */
export const faulty = signal<ReadonlySet<string>>(new Set());
export const unknown = computed(() => [...new Set(query.value.keys())].filter((name) => !KNOWN.has(name)));

/** Note that the value of a parameter is of no use, so its default holds. */
export function reject(name: string): void {
  if (faulty.peek().has(name)) return;
  queueMicrotask(() => {
    faulty.value = new Set([...faulty.peek(), name]);
  });
}

/** A query in plain words: `:`, `/` and `,` stay as they are. */
export function written(values: URLSearchParams): string {
  const text = values.toString().replace(/%3A/gi, ":").replace(/%2F/gi, "/").replace(/%2C/gi, ",");
  return text && `?${text}`;
}

export type Changes = Readonly<Record<string, string | null | undefined>>;

function changed(from: URLSearchParams, changes: Changes): URLSearchParams {
  const values = new URLSearchParams(from);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") values.delete(name);
    else values.set(name, value);
  }
  return values;
}

/** The address of a view, with range, step, zone and comparison of this one. */
export function address(view: string, changes: Changes = {}): string {
  const kept = new URLSearchParams();
  for (const name of FRAME) {
    const value = query.value.get(name);
    if (value !== null) kept.set(name, value);
  }
  return ROOT + view + written(changed(kept, changes));
}

/** Show another address of this page. */
export function visit(to: string, replace = false): void {
  if (to !== location.href) history[replace ? "replaceState" : "pushState"](null, "", to);
  read();
}

/** Change parameters of this view. Each change is a step of the history, unless it replaces the last one. */
export function set(changes: Changes, replace = false): void {
  visit(ROOT + path.peek() + written(changed(query.peek(), changes)), replace);
}

function read(): void {
  const before = path.peek();
  faulty.value = new Set();
  path.value = inside();
  query.value = new URLSearchParams(location.search);
  if (before !== path.peek()) {
    scrollTo(0, 0);
    document.getElementById("title")?.focus({ preventScroll: true });
  }
}

addEventListener("popstate", read);

/** Follow links of this page without a reload. */
export function followed(event: MouseEvent): void {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey)
    return;
  const link = (event.target as Element | null)?.closest?.("a");
  if (!link?.href.startsWith(ROOT) || link.hasAttribute("download") || link.target) return;
  const below = link.href.slice(ROOT.length).split(/[?#]/)[0] ?? "";
  if (below !== "" && !below.startsWith("ui/")) return;
  event.preventDefault();
  visit(link.href);
}

/** One of some words, or null with a note that the value was of no use. */
export function word<T extends string>(name: string, allowed: readonly T[], fallback: T): T {
  const value = query.value.get(name);
  if (value === null) return fallback;
  if ((allowed as readonly string[]).includes(value)) return value as T;
  reject(name);
  return fallback;
}

/** A whole number within bounds, or the default. */
export function whole(name: string, low: number, high: number, fallback: number): number {
  const value = query.value.get(name);
  if (value === null) return fallback;
  const number = Number(value);
  if (/^\d{1,6}$/.test(value) && number >= low && number <= high) return number;
  reject(name);
  return fallback;
}
