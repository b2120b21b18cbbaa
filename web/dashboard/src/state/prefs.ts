/** What a person prefers on this machine. Storage may be away or full: then it lasts until the page is closed. */

import { effect, signal } from "@preact/signals";

export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const stored = (name: string): string | null => {
  try {
    return localStorage.getItem(`tallybook.${name}`);
  } catch {
    return null;
  }
};
const store = (name: string, value: string): void => {
  try {
    localStorage.setItem(`tallybook.${name}`, value);
  } catch {
    // it lasts until the page is closed
  }
};

const dark = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(dark.matches);
dark.addEventListener("change", () => {
  systemIsDark.value = dark.matches;
});

export const theme = signal<Theme>(THEMES.find((one) => one === stored("theme")) ?? "auto");
export const zone = signal(stored("zone") ?? "");
export const keys = signal(stored("keys") !== "off");
export const spoken = signal(stored("spoken") === "on");

/** Whether the page is dark now. Canvases have to know; everything else is told by CSS. */
export const isDark = () => (theme.value === "auto" ? systemIsDark.value : theme.value === "dark");

export function start(): void {
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
    store("theme", theme.value);
  });
  effect(() => store("zone", zone.value));
  effect(() => store("keys", keys.value ? "on" : "off"));
  effect(() => store("spoken", spoken.value ? "on" : "off"));
}
