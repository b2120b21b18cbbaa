/** Everything of uPlot: scales, axes, cursor and selection. The lines are drawn here, since an open bucket differs. */

import uPlot from "uplot";
import { DASHES, type Palette } from "./palette";

export interface Drawn {
  /** Epoch seconds at which the buckets begin, and the end of the last one. */
  readonly times: readonly number[];
  readonly end: number;
  readonly lines: readonly {
    readonly name: string;
    readonly values: readonly (number | null)[];
    readonly isOpen: readonly boolean[];
  }[];
  /** What the first line is compared with. */
  readonly before?: readonly (number | null)[];
  readonly kind: "steps" | "bars" | "line";
  readonly ticks: readonly { at: number; text: string }[];
  readonly marks?: readonly number[];
  /** Half of an interval around each value, as a share of it. */
  readonly error?: number;
  readonly label: (value: number) => string;
}

export interface Plot {
  draw(drawn: Drawn, palette: Palette): void;
  resize(width: number, height: number): void;
  /** Show the cursor on a bucket, or nowhere. */
  point(index: number | null): void;
  select(from: number, to: number): void;
  /** Where a bucket is: its middle and the top of its line, in pixels of the element. */
  place(index: number, value: number | null): { left: number; top: number };
  destroy(): void;
}

export interface Listening {
  readonly onPoint: (index: number | null) => void;
  readonly onSelect: (from: number, to: number) => void;
}

const FONT = '12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
const HATCH = 6;
/** Pixels of a bar where there are few. */
const WIDEST = 90;
/** Pixels beside several lines for their names, width from which there is room for them, and height of a name. */
const NAMES = 120;
const ROOMY = 560;
const NAME_HEIGHT = 14;

export function plot(element: HTMLElement, width: number, height: number, listening: Listening): Plot {
  let drawn: Drawn | undefined;
  let colours: Palette | undefined;
  let isQuiet = false;

  const highest = (): number => {
    let most = 0;
    const reach = 1 + (drawn?.error ?? 0);
    for (const line of drawn?.lines ?? []) for (const value of line.values) most = Math.max(most, (value ?? 0) * reach);
    for (const value of drawn?.before ?? []) most = Math.max(most, value ?? 0);
    return most || 1;
  };

  const axis = { font: FONT, stroke: () => colours?.soft ?? "", grid: { stroke: () => colours?.line ?? "", width: 1 } };
  const chart = new uPlot(
    {
      width,
      height,
      legend: { show: false },
      padding: [12, (u) => (drawn && isNamed(drawn, u.width) ? NAMES : 12), 0, 0],
      scales: {
        x: { time: false, range: () => [drawn?.times[0] ?? 0, drawn?.end ?? 1] },
        y: { range: () => [0, highest() * 1.05] },
      },
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false, dist: 6 },
        move: (u, left, top) => [middle(u, left), top],
      },
      select: { show: true, left: 0, top: 0, width: 0, height: 0 },
      axes: [
        {
          ...axis,
          splits: () => (drawn?.ticks ?? []).map((tick) => tick.at),
          values: () => (drawn?.ticks ?? []).map((tick) => tick.text),
          filter: (_, splits) => splits,
          ticks: { stroke: () => colours?.line ?? "", width: 1, size: 4 },
          size: 30,
        },
        {
          ...axis,
          values: (_, splits) =>
            splits.map((value) => (Number.isInteger(value) || value < 10 ? (drawn?.label(value) ?? "") : "")),
          size: (_, values) => 18 + 7 * Math.max(1, ...(values ?? []).map((value) => value.length)),
          incrs: [
            0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5,
            5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8, 1e9, 1e10,
          ],
        },
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: {
        draw: [(u) => drawn && colours && draw(u, drawn, colours)],
        setCursor: [
          (u) => {
            if (isQuiet) return;
            const { left } = u.cursor;
            listening.onPoint(left === undefined || left === null || left < 0 ? null : bucketAt(u, left));
          },
        ],
        setSelect: [
          (u) => {
            if (isQuiet || u.select.width < 4) return;
            const from = bucketAt(u, u.select.left);
            const to = bucketAt(u, u.select.left + u.select.width);
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            if (from !== null && to !== null) listening.onSelect(from, to);
          },
        ],
      },
    },
    [[], []],
    element,
  );

  function endOf(index: number): number {
    return drawn?.times[index + 1] ?? drawn?.end ?? 0;
  }

  function bucketAt(u: uPlot, left: number): number | null {
    if (!drawn?.times.length) return null;
    const at = u.posToVal(left, "x");
    let low = 0;
    let high = drawn.times.length - 1;
    while (low < high) {
      const half = (low + high + 1) >> 1;
      if (drawn.times[half]! <= at) low = half;
      else high = half - 1;
    }
    return low;
  }

  function middle(u: uPlot, left: number): number {
    const index = left < 0 ? null : bucketAt(u, left);
    return index === null ? left : u.valToPos((drawn!.times[index]! + endOf(index)) / 2, "x");
  }

  const quietly = (call: () => void): void => {
    isQuiet = true;
    call();
    isQuiet = false;
  };

  return {
    draw(next, palette) {
      drawn = next;
      colours = palette;
      quietly(() => chart.setData([next.times as number[], next.times.map(() => null)], true));
    },
    resize: (w, h) => quietly(() => chart.setSize({ width: w, height: h })),
    point(index) {
      quietly(() => {
        if (index === null || !drawn) chart.setCursor({ left: -10, top: -10 });
        else chart.setCursor({ left: chart.valToPos((drawn.times[index]! + endOf(index)) / 2, "x"), top: 0 });
      });
    },
    select(from, to) {
      if (!drawn) return;
      const [low, high] = [Math.min(from, to), Math.max(from, to)];
      const left = chart.valToPos(drawn.times[low]!, "x");
      const width = chart.valToPos(endOf(high), "x") - left;
      quietly(() =>
        chart.setSelect({ left, top: 0, width: from < 0 ? 0 : width, height: chart.over.clientHeight }, false),
      );
    },
    place(index, value) {
      const x = drawn ? chart.valToPos((drawn.times[index]! + endOf(index)) / 2, "x") : 0;
      return { left: x + chart.over.offsetLeft, top: chart.valToPos(value ?? 0, "y") + chart.over.offsetTop };
    },
    destroy: () => chart.destroy(),
  };
}

// -- drawing -----------------------------------------------------------------------------------------------------------

function draw(u: uPlot, drawn: Drawn, colours: Palette): void {
  const { ctx } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(u.bbox.left, u.bbox.top - 4, u.bbox.width + 4, u.bbox.height + 6);
  ctx.clip();
  const unit = devicePixelRatio || 1;
  const x = (at: number) => Math.round(u.valToPos(at, "x", true));
  const y = (value: number) => Math.round(u.valToPos(value, "y", true));
  const edges = [...drawn.times, drawn.end].map(x);
  for (const at of drawn.marks ?? []) {
    stroke(ctx, colours.soft, unit, [2 * unit, 3 * unit], () => {
      ctx.moveTo(x(at), u.bbox.top);
      ctx.lineTo(x(at), u.bbox.top + u.bbox.height);
    });
  }
  if (drawn.before) {
    const none = drawn.before.map(() => false);
    steps(ctx, edges, drawn.before, none, y, {
      colour: colours.soft,
      width: unit,
      dash: [unit, 3 * unit],
      isArea: false,
      unit,
    });
  }
  drawn.lines.forEach((line, index) => {
    const colour = colours.series[index % colours.series.length]!;
    if (drawn.kind === "bars") {
      bars(ctx, edges, line.values, line.isOpen, y, {
        colour,
        unit,
        place: index,
        of: drawn.lines.length,
        error: drawn.error ?? 0,
        ink: colours.ink,
      });
    } else if (drawn.kind === "line") {
      joined(ctx, edges, line.values, line.isOpen, y, { colour, unit });
    } else {
      const dash = (DASHES[index] ?? []).map((length) => length * unit);
      steps(ctx, edges, line.values, line.isOpen, y, {
        colour,
        width: 1.75 * unit,
        dash,
        isArea: drawn.lines.length === 1,
        unit,
      });
    }
  });
  ctx.restore();
  if (isNamed(drawn, u.width)) names(u, drawn, colours, edges, y, unit);
}

const isNamed = (drawn: Drawn, width: number) => drawn.lines.length > 1 && drawn.kind === "steps" && width >= ROOMY;

/** The name of each line at its end, one below the other where lines end close together. */
function names(u: uPlot, drawn: Drawn, colours: Palette, edges: readonly number[], y: Scale, unit: number): void {
  const { ctx } = u;
  const spots = drawn.lines
    .map(({ name, values }, index) => {
      const last = values.findLastIndex((value) => value !== null);
      return { name, index, x: edges[last + 1] ?? 0, y: last < 0 ? -1 : y(values[last]!) };
    })
    .filter((spot) => spot.y >= 0)
    .sort((a, b) => b.y - a.y);
  ctx.save();
  ctx.font = FONT.replace("12px", `${12 * unit}px`);
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  let above = Number.POSITIVE_INFINITY;
  for (const spot of spots) {
    const at = Math.min(spot.y, above - NAME_HEIGHT * unit);
    above = at;
    ctx.fillStyle = colours.series[spot.index % colours.series.length]!;
    ctx.fillRect(spot.x + 6 * unit, at - unit, 8 * unit, 2 * unit);
    ctx.fillStyle = colours.ink;
    let text = spot.name;
    while (text.length > 1 && ctx.measureText(text).width > (NAMES - 22) * unit) text = `${text.slice(0, -2)}…`;
    ctx.fillText(text, spot.x + 18 * unit, at);
  }
  ctx.restore();
}

function stroke(ctx: CanvasRenderingContext2D, colour: string, width: number, dash: number[], trace: () => void): void {
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.setLineDash(dash);
  ctx.beginPath();
  trace();
  ctx.stroke();
  ctx.setLineDash([]);
}

type Look = { colour: string; width: number; dash: number[]; isArea: boolean; unit: number };
type Values = readonly (number | null)[];
type Scale = (value: number) => number;

/** Steps from bucket to bucket. What is open is dashed, with every line into or out of it, and hatched below. */
function steps(
  ctx: CanvasRenderingContext2D,
  edges: readonly number[],
  values: Values,
  isOpen: readonly boolean[],
  y: Scale,
  look: Look,
): void {
  if (look.isArea) {
    ctx.fillStyle = look.colour;
    ctx.globalAlpha = 0.16;
    ctx.beginPath();
    values.forEach((value, i) => {
      if (value !== null && !isOpen[i]) ctx.rect(edges[i]!, y(value), edges[i + 1]! - edges[i]!, y(0) - y(value));
    });
    ctx.fill();
    ctx.globalAlpha = 1;
    values.forEach((value, i) => {
      if (value !== null && isOpen[i])
        hatch(ctx, edges[i]!, y(value), edges[i + 1]! - edges[i]!, y(0) - y(value), look);
    });
  }
  for (const open of [false, true]) {
    stroke(ctx, look.colour, look.width, open ? [3 * look.unit, 3 * look.unit] : look.dash, () => {
      values.forEach((value, i) => {
        if (value === null) return;
        const before = i > 0 ? values[i - 1] : null;
        if (before !== null && before !== undefined && (Boolean(isOpen[i]) || Boolean(isOpen[i - 1])) === open) {
          ctx.moveTo(edges[i]!, y(before));
          ctx.lineTo(edges[i]!, y(value));
        }
        if (Boolean(isOpen[i]) === open) {
          ctx.moveTo(edges[i]!, y(value));
          ctx.lineTo(edges[i + 1]!, y(value));
        }
      });
    });
  }
}

function hatch(
  ctx: CanvasRenderingContext2D,
  left: number,
  top: number,
  width: number,
  height: number,
  look: { colour: string; unit: number },
): void {
  if (width <= 0 || height <= 0) return;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.globalAlpha = 0.55;
  stroke(ctx, look.colour, look.unit, [], () => {
    const gap = HATCH * look.unit;
    for (let at = left - height - ((left - height) % gap); at < left + width; at += gap) {
      ctx.moveTo(at, top + height);
      ctx.lineTo(at + height, top);
    }
  });
  ctx.restore();
}

type Bars = { colour: string; unit: number; place: number; of: number; error: number; ink: string };

function bars(
  ctx: CanvasRenderingContext2D,
  edges: readonly number[],
  values: Values,
  isOpen: readonly boolean[],
  y: Scale,
  look: Bars,
): void {
  const { colour, unit } = look;
  values.forEach((value, i) => {
    if (value === null) return;
    const room = edges[i + 1]! - edges[i]!;
    const gap = Math.max(unit, Math.min(room * 0.2, 12 * unit));
    const width = Math.max(unit, Math.min((room - gap) / look.of, WIDEST * unit));
    const left = edges[i]! + (room - width * look.of) / 2 + look.place * width;
    const top = y(value);
    if (isOpen[i]) {
      hatch(ctx, left, top, width, y(0) - top, look);
      stroke(ctx, colour, 1.5 * unit, [3 * unit, 2 * unit], () => ctx.rect(left, top, width, y(0) - top));
    } else {
      ctx.fillStyle = colour;
      ctx.globalAlpha = 0.85;
      ctx.fillRect(left, top, width, y(0) - top);
      ctx.globalAlpha = 1;
    }
    if (look.error && value) {
      const [low, high] = [y(value * (1 - look.error)), y(value * (1 + look.error))];
      const at = left + width / 2;
      stroke(ctx, look.ink, unit, [], () => {
        ctx.moveTo(at, low);
        ctx.lineTo(at, high);
        for (const end of [low, high]) {
          ctx.moveTo(at - 3 * unit, end);
          ctx.lineTo(at + 3 * unit, end);
        }
      });
    }
  });
}

/** A line from middle to middle, of means and rates. */
function joined(
  ctx: CanvasRenderingContext2D,
  edges: readonly number[],
  values: Values,
  isOpen: readonly boolean[],
  y: Scale,
  look: { colour: string; unit: number },
): void {
  const at = (i: number) => (edges[i]! + edges[i + 1]!) / 2;
  for (const open of [false, true]) {
    stroke(ctx, look.colour, 1.75 * look.unit, open ? [3 * look.unit, 3 * look.unit] : [], () => {
      values.forEach((value, i) => {
        const before = i > 0 ? values[i - 1] : null;
        if (value === null || before === null || before === undefined) return;
        if ((Boolean(isOpen[i]) || Boolean(isOpen[i - 1])) !== open) return;
        ctx.moveTo(at(i - 1), y(before));
        ctx.lineTo(at(i), y(value));
      });
    });
  }
  values.forEach((value, i) => {
    if (value === null) return;
    const isAlone = (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null;
    if (!isAlone && !isOpen[i] && values.length > 60) return;
    ctx.beginPath();
    ctx.arc(at(i), y(value), 3 * look.unit, 0, 2 * Math.PI);
    if (isOpen[i])
      stroke(ctx, look.colour, 1.5 * look.unit, [], () => ctx.arc(at(i), y(value), 3 * look.unit, 0, 2 * Math.PI));
    else {
      ctx.fillStyle = look.colour;
      ctx.fill();
    }
  });
}
