/** Views by the path below the root. `ingest/dashboard.py` serves the document for the same words. */

// biome-ignore format: one line each of those in the navigation and those that other views lead to
export const VIEWS = [
  "banners", "links", "trackers", "visitors", "pages", "events", "retention", "logs", "health",
  "sites", "settings",
] as const;
export type View = "" | (typeof VIEWS)[number];

/** Views with a detail of each row. */
export const WITH_DETAIL: readonly View[] = ["banners", "trackers"];

/** Views that other views lead to. */
export const ASIDE: readonly View[] = ["sites", "settings"];

/** Keys that follow `g`. */
export const GO: Readonly<Record<string, View>> = {
  o: "",
  b: "banners",
  k: "links",
  v: "visitors",
  t: "trackers",
  e: "events",
  r: "retention",
  p: "pages",
  l: "logs",
  h: "health",
  s: "settings",
};

export interface Route {
  readonly view: View;
  readonly id?: string;
}

/** The view of a path, or nothing. */
export function route(path: string): Route | undefined {
  if (path === "" || path === "ui" || path === "ui/") return { view: "" };
  const [, name, id, more] = path.split("/");
  const view = VIEWS.find((one) => one === name);
  if (!path.startsWith("ui/") || !view || more !== undefined) return undefined;
  if (id === undefined || id === "") return { view };
  return WITH_DETAIL.includes(view) ? { view, id: decode(id) } : undefined;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The path of a view below the root. */
export const pathOf = (view: View, id?: string | number) =>
  view === "" ? "" : id === undefined ? `ui/${view}` : `ui/${view}/${encodeURIComponent(String(id))}`;
