/** Tables: a caption, headers that sort, a hundred rows and more on demand. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { query, reject, set } from "../state/url";
import { T } from "../text";
import { count } from "../time/format";

export interface Column<R> {
  readonly key: string;
  readonly name: string;
  /** What a file has in the cell, and what the screen shows unless `cell` says otherwise. */
  readonly text: (row: R, index: number) => string | number | null | undefined;
  readonly cell?: (row: R, index: number) => ComponentChildren;
  readonly isNumber?: boolean;
  /** Left out where there is little room. */
  readonly isExtra?: boolean;
  /** Left out but on wide screens. */
  readonly isWide?: boolean;
  readonly sorts?: boolean;
}

const SHOWN = 100;

/** Whether something is wider than its place, so that a keyboard has to reach it to scroll. */
export function useOverflow<E extends HTMLElement>() {
  const element = useRef<E>(null);
  const [isWide, put] = useState(false);
  useLayoutEffect(() => put((element.current?.scrollWidth ?? 0) > (element.current?.clientWidth ?? 0)));
  return [element, isWide] as const;
}

/** Rows in the order that the address names. The order of the answer holds where it names none. */
export function sorted<R>(rows: readonly R[], columns: readonly Column<R>[], name = "sort"): readonly R[] {
  const asked = query.value.get(name);
  if (!asked) return rows;
  const isDown = asked.startsWith("-");
  const column = columns.find((one) => one.sorts && one.key === asked.replace(/^-/, ""));
  if (!column) {
    reject(name);
    return rows;
  }
  const value = (row: R) => column.text(row, 0) ?? -1;
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    return isDown ? -order : order;
  });
}

export function Table<R>(props: {
  caption: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  rowKey: (row: R, index: number) => string | number;
  rowClass?: (row: R) => string;
  /** How many there are behind these, or how to ask for them. */
  more?: ComponentChildren;
  sortName?: string;
}) {
  const [most, more] = useState(SHOWN);
  const name = props.sortName ?? "sort";
  const order = query.value.get(name) ?? "";
  const rows = sorted(props.rows, props.columns, name).slice(0, most);
  const isSortable = props.columns.some((column) => column.sorts);
  const [box, isWide] = useOverflow<HTMLDivElement>();
  return (
    <div class="table" ref={box} {...(isWide && { tabIndex: 0, role: "group", "aria-label": props.caption })}>
      <table>
        <caption>
          <span>
            {props.caption}
            {order && isSortable && <span class="soft"> {T.ofRowsShown}</span>}
          </span>
        </caption>
        <thead>
          <tr>
            {props.columns.map((column) => {
              const isBy = order.replace(/^-/, "") === column.key && column.sorts;
              const direction = order.startsWith("-") ? "descending" : "ascending";
              const next = isBy
                ? order.startsWith("-")
                  ? column.key
                  : null
                : column.isNumber
                  ? `-${column.key}`
                  : column.key;
              return (
                <th
                  key={column.key}
                  scope="col"
                  class={kind(column)}
                  {...(isBy && { "aria-sort": direction as "ascending" | "descending" })}
                >
                  {column.sorts ? (
                    <button type="button" class="plain" onClick={() => set({ [name]: next }, true)}>
                      {column.name}
                      <span aria-hidden="true">{isBy ? (order.startsWith("-") ? " ↓" : " ↑") : ""}</span>
                    </button>
                  ) : (
                    column.name
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={props.rowKey(row, index)} class={props.rowClass?.(row) ?? ""}>
              {props.columns.map((column, place) => {
                const shown = column.cell ? column.cell(row, index) : plain(column.text(row, index));
                return place === 0 ? (
                  <th key={column.key} scope="row" class={kind(column)}>
                    {shown}
                  </th>
                ) : (
                  <td key={column.key} class={kind(column)}>
                    {shown}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
      {props.rows.length > most && (
        <button type="button" onClick={() => more(2 * most)}>
          {T.moreRows(props.rows.length - most)}
        </button>
      )}
      {props.rows.length <= most && props.more}
    </div>
  );
}

const kind = (column: { isNumber?: boolean; isExtra?: boolean; isWide?: boolean }) =>
  [column.isNumber && "number", column.isExtra && "extra", column.isWide && "wide"].filter(Boolean).join(" ");

function plain(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? count(value) : value;
}
