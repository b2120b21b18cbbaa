/** A series over time as a figure: a plot that a keyboard can read, and its table. */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { exportMenu } from "../export/menu";
import { type Column, Table } from "../parts/table";
import { said } from "../parts/tile";
import { NewVersion } from "../parts/version";
import { serviceNow } from "../state/clock";
import { isDark } from "../state/prefs";
import { query, set } from "../state/url";
import { T } from "../text";
import { change } from "../time/compare";
import * as format from "../time/format";
import { moment, type Range } from "../time/range";
import { STEP_MS, type Step } from "../time/step";
import { highest, type Line, type Point, ticks, total } from "./data";
import { MOST, palette } from "./palette";
import type { Drawn, Plot } from "./plot";

export interface SeriesProps {
  /** `Clicks per minute`, which is the heading as well. */
  readonly title: string;
  readonly lines: readonly Line[];
  readonly step: Step;
  readonly zone: string;
  /** The zone to name, where the buckets are dates of another zone. */
  readonly zoneName?: string;
  readonly range: Range;
  readonly asOf?: string | undefined;
  readonly kind?: "line" | undefined;
  /** Whether values may be added up; users may not. */
  readonly adds?: boolean;
  readonly value?: (value: number) => string;
  readonly error?: number;
  readonly isFinalKnown?: boolean;
  readonly marks?: readonly { at: number; text: string }[];
  /** Zoom into buckets, from the begin of the first to the end of the last. */
  readonly zooms?: boolean;
  readonly comparedWith?: string;
  readonly file: string;
  readonly exports?: Parameters<typeof exportMenu>[0]["service"];
  readonly address?: string;
  readonly below?: ComponentChildren;
}

const HEIGHT = 240;
const FEW = 40;

interface Row {
  readonly at: number;
  readonly label: string;
  readonly points: readonly (Point | undefined)[];
  readonly before: Point | undefined;
  readonly isFinal: boolean;
}

/** Rows of the table twin, the newest first. What is yet to come has no row. */
export function rowsOf(lines: readonly Line[], zone: string, step: Step, asOf = serviceNow()): Row[] {
  const times = lines[0]?.points.map((point) => point.at) ?? [];
  const labels = format.stamps(times, zone, step);
  return times
    .map((at, index) => ({
      at,
      label: labels[index]!,
      points: lines.map((line) => line.points[index]),
      before: lines[0]?.before?.[index],
      isFinal: lines.every((line) => line.points[index]?.isFinal ?? true),
    }))
    .filter((row) => row.at <= asOf)
    .reverse();
}

/** Columns of the table twin and of its file. */
export function columnsOf(
  props: Pick<SeriesProps, "lines" | "step" | "zone" | "zoneName" | "value" | "isFinalKnown">,
): Column<Row>[] {
  const { lines, step, zone } = props;
  const value = props.value ?? format.count;
  const name = T.stepNames[step];
  const hasBefore = lines.some((line) => line.before);
  return [
    { key: "at", name: `${name} (${props.zoneName ?? zone})`, text: (row) => row.label, sorts: true },
    ...lines.map(
      (line, index): Column<Row> => ({
        key: `v${index}`,
        name: line.name,
        isNumber: true,
        sorts: true,
        text: (row) => row.points[index]?.value,
        cell: (row) => {
          const point = row.points[index];
          if (!point || point.value === null) return <span title={T.notKnown}>–</span>;
          return <span class={point.isFinal ? "" : "open"}>{value(point.value) + (point.isFinal ? "" : "~")}</span>;
        },
      }),
    ),
    ...(hasBefore
      ? [
          { key: "before", name: T.before, isNumber: true, text: (row: Row) => row.before?.value } as Column<Row>,
          {
            key: "beforeAt",
            name: T.beforeAt,
            isExtra: true,
            text: (row: Row) => (row.before ? format.stamp(row.before.at, zone, step) : undefined),
          } as Column<Row>,
        ]
      : []),
    ...(props.isFinalKnown === false
      ? []
      : [{ key: "final", name: T.final, text: (row: Row) => (row.isFinal ? T.yes : T.no) } as Column<Row>]),
  ];
}

/** What the figure shows, in sentences. */
export function described(props: SeriesProps): string {
  const value = props.value ?? format.count;
  const [first] = props.lines;
  if (!first) return "";
  const best = highest(first.points);
  const sentences = [`${props.title}, ${format.range(props.range, props.zone)} ${props.zoneName ?? props.zone}.`];
  if (best?.value) sentences.push(T.highest(value(best.value), format.bucket(best.at, props.zone, props.step)));
  if (props.adds !== false && props.lines.length === 1) sentences.push(T.totalIs(value(total(first.points))));
  if (props.lines.length > 1) sentences.push(T.linesAre(props.lines.map((line) => line.name)));
  if (props.lines.some((line) => line.points.at(-1)?.isFinal === false)) sentences.push(T.lastIsOpen);
  if (first.points.some((point) => point.value === null)) sentences.push(T.hasGaps);
  return sentences.join(" ");
}

const captionOf = (props: Pick<SeriesProps, "title" | "range" | "zone" | "zoneName">) =>
  `${props.title}, ${format.range(props.range, props.zone)}, ${props.zoneName ?? props.zone}`;

/** The table that holds the same facts as the chart. */
export function Twin(props: SeriesProps) {
  return (
    <Table
      caption={captionOf(props)}
      columns={columnsOf(props)}
      rows={rowsOf(props.lines, props.zone, props.step)}
      rowKey={(row) => row.at}
      rowClass={(row) => (row.isFinal ? "" : "open")}
    />
  );
}

function useWidth(): [{ current: HTMLDivElement | null }, number] {
  const element = useRef<HTMLDivElement>(null);
  const [width, put] = useState(0);
  useEffect(() => {
    if (!element.current) return;
    const watch = new ResizeObserver(([entry]) => entry && put(Math.floor(entry.contentRect.width)));
    watch.observe(element.current);
    return () => watch.disconnect();
  }, []);
  return [element, width];
}

export function Series(props: SeriesProps) {
  const { lines, step, zone } = props;
  const id = useId();
  const isTable = query.value.get("view") === "table";
  const rows = rowsOf(lines, zone, step);
  const columns = columnsOf(props);
  const caption = captionOf(props);
  const shown = lines.slice(0, MOST);
  return (
    <figure aria-labelledby={`${id}n`} aria-describedby={`${id}d`}>
      <figcaption>
        <span id={`${id}n`} class="sr">
          {props.title}
        </span>
        <span id={`${id}d`} class="sr">
          {described(props)}
        </span>
        {(shown.length > 1 || shown[0]?.before) && <Legend lines={shown} comparedWith={props.comparedWith} />}
        <span class="tools">
          <button
            type="button"
            aria-pressed={isTable}
            data-key="table"
            onClick={() => set({ view: isTable ? null : "table" })}
          >
            {T.table}
          </button>
          {exportMenu({
            file: props.file,
            caption,
            columns,
            rows,
            ...(props.exports && { service: props.exports }),
            ...(props.address !== undefined && { address: props.address }),
          })}
        </span>
      </figcaption>
      {!isTable && <Graph {...props} lines={shown} />}
      {!isTable && props.marks && props.marks.length > 0 && (
        <ul class="marks">
          {props.marks.slice(0, 20).map((mark) => (
            <li key={mark.at}>
              {format.bucket(mark.at, zone, "minute")} <bdi>{mark.text}</bdi>
            </li>
          ))}
        </ul>
      )}
      {isTable && <Twin {...props} />}
      {props.below}
    </figure>
  );
}

function Legend(props: { lines: readonly Line[]; comparedWith?: string | undefined }) {
  return (
    <ul class="legend">
      {props.lines.map((line, index) => (
        <li key={line.name}>
          <span class={`dash s${index + 1}`} aria-hidden="true" />
          <bdi>{line.name}</bdi>
        </li>
      ))}
      {props.lines[0]?.before && (
        <li>
          <span class="dash before" aria-hidden="true" />
          {props.comparedWith ?? T.before}
        </li>
      )}
    </ul>
  );
}

function Graph(props: SeriesProps) {
  const { lines, step, zone } = props;
  const value = props.value ?? format.count;
  const points = lines[0]?.points ?? [];
  const size = points.length;
  const [box, width] = useWidth();
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot>(undefined);
  const [isReady, ready] = useState(false);
  const [failed, fail] = useState(false);
  const [at, point] = useState<number | null>(null);
  const [line, take] = useState(0);
  const [mark, start] = useState<number | null>(null);
  const [isFocused, focused] = useState(false);
  const dark = isDark();
  const state = useRef({ size: 0, zoom: (_from: number, _to: number) => {} });

  const endAt = (index: number) => points[index + 1]?.at ?? lastEnd(points, step, props.range);
  const zoom = (from: number, to: number) => {
    if (!props.zooms) return;
    const [low, high] = [Math.min(from, to), Math.max(from, to)];
    if (step === "minute" && low === high) return;
    set({ from: moment(points[low]!.at), to: moment(endAt(high)), range: null, step: null });
  };
  state.current = { size, zoom };

  useEffect(() => {
    let isGone = false;
    import("./plot").then(
      (code) => {
        if (isGone || !frame.current) return;
        plot.current = code.plot(frame.current, Math.max(1, frame.current.clientWidth), HEIGHT, {
          onPoint: point,
          onSelect: (from, to) => state.current.zoom(from, to),
        });
        ready(true);
      },
      () => fail(true),
    );
    return () => {
      isGone = true;
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, []);

  useEffect(() => {
    if (!isReady || !width || !plot.current) return;
    plot.current.resize(width, HEIGHT);
    const drawn: Drawn = {
      times: points.map((one) => one.at / 1000),
      end: lastEnd(points, step, props.range) / 1000,
      lines: lines.map((one) => ({
        name: one.name,
        values: one.points.map((p) => p.value),
        isOpen: one.points.map((p) => !p.isFinal),
      })),
      ...(lines[0]?.before && { before: points.map((_, index) => lines[0]?.before?.[index]?.value ?? null) }),
      kind: props.kind ?? (size < FEW ? "bars" : "steps"),
      ticks: ticks(
        points.map((one) => one.at),
        zone,
        step,
        Math.floor(width / 85),
      ).map((one) => ({ ...one, at: one.at / 1000 })),
      ...(props.marks && { marks: props.marks.map((one) => one.at / 1000) }),
      ...(props.error !== undefined && { error: props.error }),
      label: props.value ?? format.compact,
    };
    plot.current.draw(drawn, palette(dark, matchMedia("(forced-colors: active)").matches));
  }, [isReady, width, lines, step, zone, dark, props.marks]);

  useEffect(() => {
    if (mark !== null && at !== null) plot.current?.select(mark, at);
    else plot.current?.select(-1, -1);
    if (isFocused) plot.current?.point(at);
  }, [at, mark, isFocused]);

  const index = at === null ? size - 1 : Math.min(at, size - 1);
  const said = pointText(props, index, line, value);

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !size) return;
    const by = event.shiftKey ? 10 : 1;
    const to = (next: number) => point(Math.max(0, Math.min(size - 1, next)));
    switch (event.key) {
      case "ArrowLeft":
        to(index - by);
        break;
      case "ArrowRight":
        to(index + by);
        break;
      case "Home":
        to(0);
        break;
      case "End":
        to(size - 1);
        break;
      case "ArrowUp":
        take((line + lines.length - 1) % lines.length);
        break;
      case "ArrowDown":
        take((line + 1) % lines.length);
        break;
      case " ":
        if (props.zooms) start(mark === null ? index : null);
        break;
      case "Enter":
        zoom(mark ?? index, index);
        start(null);
        break;
      case "Escape":
        if (at === null && mark === null) return;
        start(null);
        point(null);
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  if (failed) return <NewVersion />;
  return (
    <div class="graph" ref={box}>
      <div
        class="plot"
        ref={frame}
        role="slider"
        tabIndex={0}
        aria-label={`${props.title}: ${T.readPoints}`}
        aria-orientation="horizontal"
        aria-valuemin={0}
        aria-valuemax={Math.max(0, size - 1)}
        aria-valuenow={Math.max(0, index)}
        aria-valuetext={
          mark === null ? said : `${said}. ${T.selecting(format.bucket(points[mark]?.at ?? 0, zone, step))}`
        }
        onKeyDown={onKeyDown}
        onFocus={() => {
          focused(true);
          if (at === null && size) point(size - 1);
        }}
        onBlur={() => {
          focused(false);
          start(null);
          point(null);
          plot.current?.point(null);
        }}
      />
      {at !== null && isReady && size > 0 && (
        <Tip {...props} index={index} line={line} plot={plot.current} width={width} />
      )}
    </div>
  );
}

/** The end of the last bucket: that of the range where it is known, else one step later. */
function lastEnd(points: readonly Point[], step: Step, range: Range): number {
  const last = points.at(-1)?.at ?? 0;
  const end = last + STEP_MS[step];
  return range.isDays || step === "day" ? end : Math.max(end, Math.min(Date.parse(range.to), end));
}

function pointText(props: SeriesProps, index: number, which: number, value: (n: number) => string): string {
  const line = props.lines[which] ?? props.lines[0];
  const one = line?.points[index];
  if (!line || !one) return T.noPoints;
  const parts = [
    format.bucket(one.at, props.zone, props.step),
    one.value === null ? T.notKnown : `${value(one.value)} ${line.name}`,
  ];
  if (!one.isFinal) parts.push(T.stillOpen);
  const past = line.before?.[index];
  if (past?.value !== null && past !== undefined) parts.push(`${T.before} ${value(past.value)}`);
  return parts.join(", ");
}

function Tip(props: SeriesProps & { index: number; line: number; plot: Plot | undefined; width: number }) {
  const { index, zone, step } = props;
  const value = props.value ?? format.count;
  const first = props.lines[0]?.points[index];
  if (!first || !props.plot) return null;
  const { left } = props.plot.place(index, first.value);
  const isRight = left > props.width / 2;
  const place = isRight ? { right: `${props.width - left + 14}px` } : { left: `${left + 14}px` };
  return (
    <div class="tip" style={place} aria-hidden="true">
      <strong>{format.bucket(first.at, zone, step)}</strong> <span class="soft">{props.zoneName ?? zone}</span>
      {props.lines.map((line, which) => {
        const one = line.points[index];
        const past = line.before?.[index];
        const found =
          one?.value !== null && one !== undefined ? change(one.value, past?.value ?? undefined) : undefined;
        return (
          <div key={line.name} class={which === props.line && props.lines.length > 1 ? "taken" : ""}>
            <span class={`dash s${which + 1}`} /> <bdi>{line.name}</bdi>{" "}
            <strong>{one?.value === null || one === undefined ? T.notKnown : value(one.value)}</strong>
            {past?.value !== null && past !== undefined && (
              <div class="soft">
                {T.before} {value(past.value)} ({format.stamp(past.at, zone, step)}) {found && said(found)}
              </div>
            )}
          </div>
        );
      })}
      {!first.isFinal && (
        <div class="soft">
          {T.stillOpen}
          {props.asOf && `, ${T.asOf} ${format.clock(Date.parse(props.asOf), zone)}`}
        </div>
      )}
    </div>
  );
}
