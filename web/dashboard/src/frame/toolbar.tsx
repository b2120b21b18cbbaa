/** Range, step, zone and comparison of a view. */

import { useState } from "preact/hooks";
import { renew } from "../api/resource";
import { LivePill } from "../live/pill";
import { Later } from "../parts/later";
import type { View } from "../routes";
import { now } from "../state/clock";
import { zone as preferred } from "../state/prefs";
import { set } from "../state/url";
import { T } from "../text";
import { COMPARISONS } from "../time/compare";
import * as format from "../time/format";
import { isDate, moment, PRESETS, type Range, shifted } from "../time/range";
import { isAllowed, STEPS } from "../time/step";
import { comparison, isAuto, isZone, OWN_ZONE, presetOf, range, step, zoneOf } from "../view";

const WITHOUT: readonly View[] = ["health", "settings", "retention", "sites"];
/** Its days are those of each site. */
const ZONED: View = "visitors";
const STEPPED: readonly View[] = ["", "banners", "trackers", "pages", "events"];
const COMPARED: readonly View[] = ["", "banners", "events", "pages"];

/** Another period of the same length. */
export function shift(by: number): void {
  const next = shifted(range.peek(), by, now.peek(), zoneOf());
  set({ range: null, from: next.from, to: next.to });
}

export function Toolbar({ view }: { view: View }) {
  const [isLinking, link] = useState(false);
  if (WITHOUT.includes(view)) return null;
  const asked = range.value;
  return (
    <div class="toolbar" role="region" aria-label={T.toolbar}>
      <span class="group">
        <button type="button" aria-label={T.earlier} onClick={() => shift(-1)} aria-keyshortcuts="[">
          ‹
        </button>
        <Ranges />
        <button
          type="button"
          aria-label={T.later}
          onClick={() => shift(1)}
          disabled={asked.isRunning}
          aria-keyshortcuts="]"
        >
          ›
        </button>
      </span>
      {!presetOf.value && <Custom asked={asked} key={`${asked.from} ${asked.to}`} />}
      {STEPPED.includes(view) && (
        <label>
          {T.step}{" "}
          <select
            value={isAuto.value ? "auto" : step.value}
            onChange={(event) => set({ step: (event.currentTarget as HTMLSelectElement).value.replace("auto", "") })}
          >
            {STEPS.map((one) => (
              <option key={one} value={one} disabled={one !== "auto" && !isAllowed(one, asked)}>
                {one === "auto" ? T.autoStep(step.value) : T.stepNames[one]}
              </option>
            ))}
          </select>
        </label>
      )}
      {view !== ZONED && <Zones />}
      {COMPARED.includes(view) && (
        <label>
          {T.compare}{" "}
          <select
            data-key="compare"
            value={comparison.value}
            onChange={(event) => set({ vs: (event.currentTarget as HTMLSelectElement).value.replace("previous", "") })}
          >
            {COMPARISONS.map((one) => (
              <option key={one} value={one}>
                {T.comparisons[one]}
              </option>
            ))}
          </select>
        </label>
      )}
      <span class="tools">
        <LivePill view={view} />
        <button type="button" data-key="refresh" onClick={() => renew()} aria-keyshortcuts=".">
          {T.refresh}
        </button>
        <button type="button" onClick={() => link(true)}>
          {T.copyLink}
        </button>
      </span>
      <p class="soft range">{format.range(asked, zoneOf())}</p>
      {isLinking && <Later show={(more) => <more.Links close={() => link(false)} asked={asked} />} />}
    </div>
  );
}

function Ranges() {
  const asked = range.value;
  return (
    <select
      aria-label={T.range}
      value={presetOf.value ?? "custom"}
      onChange={(event) => {
        const { value } = event.currentTarget as HTMLSelectElement;
        if (value === "custom") set({ range: null, step: null, from: asked.from, to: asked.to });
        else set({ range: value === "today" ? null : value, from: null, to: null, step: null });
      }}
    >
      {PRESETS.map((one) => (
        <option key={one} value={one}>
          {T.ranges[one]}
        </option>
      ))}
      <option value="custom">{T.custom}</option>
    </select>
  );
}

/** Two inputs of the browser. A day is a date; a time of the day is a moment in the browser's own zone or in UTC. */
function Custom({ asked }: { asked: Range }) {
  const [from, putFrom] = useState(asked.isDays ? asked.from : local(asked.from));
  const [to, putTo] = useState(asked.isDays ? asked.to : local(asked.to));
  const [isDays, putDays] = useState(asked.isDays);
  const type = isDays ? "date" : "datetime-local";
  const end = (text: string) =>
    isDays ? text : text && moment(new Date(zoneOf() === "UTC" ? `${text}Z` : text).getTime());
  const submit = (event: Event) => {
    event.preventDefault();
    if (from && to && from <= to && (!isDays || (isDate(from) && isDate(to))))
      set({ range: null, step: null, from: end(from), to: end(to) });
  };
  return (
    <form class="group" onSubmit={submit}>
      <input
        type={type}
        aria-label={T.from}
        value={from}
        max={to}
        required
        onInput={(event) => putFrom(event.currentTarget.value)}
      />
      <input
        type={type}
        aria-label={T.to}
        value={to}
        min={from}
        required
        onInput={(event) => putTo(event.currentTarget.value)}
      />
      {!isDays && zoneOf() !== "UTC" && zoneOf() !== OWN_ZONE && <span class="chip">{OWN_ZONE}</span>}
      <label>
        <input
          type="checkbox"
          checked={!isDays}
          onChange={() => {
            putDays(!isDays);
            putFrom(isDays ? `${from}T00:00` : from.slice(0, 10));
            putTo(isDays ? `${to}T23:59` : to.slice(0, 10));
          }}
        />{" "}
        {T.times}
      </label>
      <button type="submit">{T.show}</button>
    </form>
  );
}

/** A moment as the inputs of browsers write it: in UTC where that is the zone, else in the browser's own zone. */
function local(text: string): string {
  return format.stamp(Date.parse(text), zoneOf() === "UTC" ? "UTC" : OWN_ZONE, "minute").replace(" ", "T");
}

function Zones() {
  const chosen = zoneOf();
  const all =
    (Intl as unknown as { supportedValuesOf?: (key: string) => string[] }).supportedValuesOf?.("timeZone") ?? [];
  const first = [...new Set([OWN_ZONE, "UTC", chosen])];
  return (
    <label>
      {T.zone}{" "}
      <select
        value={chosen}
        onChange={(event) => {
          const { value } = event.currentTarget as HTMLSelectElement;
          if (!isZone(value)) return;
          set({ tz: value === (preferred.value || OWN_ZONE) ? null : value });
        }}
      >
        {first.map((one) => (
          <option key={one}>{one}</option>
        ))}
        {all
          .filter((one) => !first.includes(one))
          .map((one) => (
            <option key={one}>{one}</option>
          ))}
      </select>
    </label>
  );
}
