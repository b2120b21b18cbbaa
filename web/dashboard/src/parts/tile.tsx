/** One number with its name, and what it was before. */

import type { ComponentChildren } from "preact";
import type { Shown } from "../api/resource";
import { T } from "../text";
import { type Change, change } from "../time/compare";
import { count, signed } from "../time/format";

/** A change with a sign and a word, so that no colour has to say it. */
export function Changed({ value, before, against }: { value: number; before: number | undefined; against: string }) {
  const found = change(value, before);
  if (!found || before === undefined) return null;
  return (
    <span class={`change ${direction(found)}`} title={T.wasBefore(count(before), against)}>
      {said(found)} <span class="soft">{T.against(against)}</span>
    </span>
  );
}

export function said(found: Change): string {
  if (found.kind === "ratio") return signed(found.ratio);
  return found.kind === "new" ? T.isNew : T.unchanged;
}

function direction(found: Change): string {
  if (found.kind !== "ratio" || Math.abs(found.ratio) < 0.0005) return "";
  return found.ratio > 0 ? "up" : "down";
}

export function Tile<T>(props: {
  name: string;
  of: Shown<T>;
  value: (data: T) => ComponentChildren;
  more?: (data: T) => ComponentChildren;
  href?: string;
}) {
  const { data, problem } = props.of;
  const name = props.href ? <a href={props.href}>{props.name}</a> : props.name;
  return (
    <div class="tile" aria-busy={props.of.isBusy && data === undefined}>
      <dt>{name}</dt>
      <dd class={props.of.isStale ? "stale" : ""}>
        <span class="big">{data !== undefined ? props.value(data) : problem ? "–" : "…"}</span>
        {data !== undefined && props.more?.(data)}
        {problem && <span class="soft">{T.short[problem.code] ?? T.failed}</span>}
      </dd>
    </div>
  );
}
