/** Colours of canvases. CSS has the same ones as variables. */

export const LIGHT = ["#0b6b58", "#d95412", "#9a5ae0", "#4e1e67", "#7b0a0a"] as const;
export const DARK = ["#5fd0b5", "#e06a34", "#a9b4f5", "#b04fe0", "#f7ecb0"] as const;
/** Series differ by dash, too. */
export const DASHES: readonly (readonly number[])[] = [[], [8, 3], [2, 2], [10, 3, 2, 3], [5, 5]];
/** Series of one chart. */
export const MOST = 5;

export interface Palette {
  readonly series: readonly string[];
  readonly ink: string;
  readonly soft: string;
  readonly line: string;
  readonly card: string;
}

/** The colours of a theme; those of the system where it forces them. */
export function palette(isDark: boolean, isForced: boolean): Palette {
  if (isForced) {
    return {
      series: ["CanvasText", "LinkText", "Highlight", "GrayText", "VisitedText"],
      ink: "CanvasText",
      soft: "CanvasText",
      line: "GrayText",
      card: "Canvas",
    };
  }
  return isDark
    ? { series: DARK, ink: "#e6eae8", soft: "#9aa7ad", line: "#2f383c", card: "#1b2124" }
    : { series: LIGHT, ink: "#1d2327", soft: "#5b666e", line: "#dfe3e1", card: "#ffffff" };
}
