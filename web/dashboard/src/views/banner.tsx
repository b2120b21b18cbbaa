/** One banner, and up to four others beside it. */

import { useState } from "preact/hooks";
import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { BannerStatistics, EventLogs, Statistics } from "../api/shapes";
import { highest, type Line, points } from "../chart/data";
import { MOST } from "../chart/palette";
import { Series, Twin } from "../chart/series";
import { fileName } from "../export/menu";
import { useBanners } from "../live/use";
import { Command } from "../parts/copy";
import { Panel } from "../parts/panel";
import { Changed } from "../parts/tile";
import { visible } from "../parts/user";
import { may } from "../state/session";
import { address, query, reject, set } from "../state/url";
import { T } from "../text";
import { useCompared } from "../time/clicks";
import * as format from "../time/format";
import { comparison, everyRows, range, step, zoneOf } from "../view";
import { clickCommand } from "./commands";
import { useNames } from "./names";
import { Rates } from "./rates";

const ID = /^[1-9]\d{0,15}$/;
const isId = (text: string) => ID.test(text) && Number(text) <= Number.MAX_SAFE_INTEGER;

export function Banner({ id: text }: { id: string }) {
  if (!isId(text)) {
    return (
      <>
        <h1 id="title" tabIndex={-1}>
          {T.noBannerId}
        </h1>
        <p>{T.noBannerIdMore}</p>
        <a href={address("ui/banners")}>{T.views.banners}</a>
      </>
    );
  }
  return <Known id={Number(text)} />;
}

/** Other banners of the address, those that are none left out with a notice. */
function others(id: number): number[] {
  const named = (query.value.get("b") ?? "").split(",").filter(Boolean);
  const good = [...new Set(named.filter(isId).map(Number))].filter((one) => one !== id);
  if (named.some((one) => !isId(one)) || good.length >= MOST) reject("b");
  return good.slice(0, MOST - 1);
}

function Known({ id }: { id: number }) {
  const asked = range.value;
  const zone = zoneOf();
  const beside = others(id);
  const ids = [id, ...beside];
  const names = useNames(ids);
  const live = useBanners(ids);
  const one = useCompared<BannerStatistics>(`stats/${id}`, {}, step.value, step.value === "minute");
  const more = useCompared<Statistics>(
    beside.length ? "stats" : null,
    { bannerIds: beside.join(",") },
    step.value,
    step.value === "minute",
  );
  const minute = useApi<BannerStatistics>(question(`stats/${id}`), 10_000);
  const marksOf = query.value.get("marks") ?? "";
  const marks = useApi<EventLogs>(
    marksOf && may("logs:read")
      ? question("logs", { from: asked.from, to: asked.to, event_type: marksOf, order: "asc", limit: 1000 })
      : null,
    everyRows(),
  );
  const against = T.comparisons[comparison.value]!;
  const label = (which: number) => (names(which) ? `${which} ${names(which)}` : String(which));
  const merged = (which: number, stats: BannerStatistics["stats"]) =>
    step.value === "minute" ? live.merged(which, stats) : stats;
  const data = one.now.data;
  const stats = data ? merged(id, data.stats) : [];
  const sum = stats.reduce((all, bucket) => all + bucket.count, 0);
  const open = live.latest(id) ?? minute.data?.stats.at(-1);
  const isOpen = open && !open.final;
  const lines = (shown: BannerStatistics): Line[] => [
    {
      name: beside.length ? label(id) : T.clicks,
      points: points(merged(id, shown.stats), shown.partial, shown.asOf),
      ...(beside.length === 0 && one.past.data && { before: points(one.past.data.stats, one.past.data.partial) }),
    },
    ...(more.now.data?.banners ?? []).map((other) => ({
      name: label(other.bannerId),
      points: points(merged(other.bannerId, other.stats), more.now.data?.partial, more.now.data?.asOf),
    })),
  ];
  const series = (shown: BannerStatistics) => ({
    title: T.clicksPer(step.value),
    lines: lines(shown),
    step: step.value,
    zone,
    range: asked,
    asOf: shown.asOf,
    zooms: true,
    comparedWith: against,
    marks: (marks.data?.events ?? []).map((event) => ({
      at: Date.parse(event.event_date_time),
      text: visible(event.event_type),
    })),
    file: fileName(["banner", String(id), step.value, asked.from, asked.to, zone, shown.asOf]),
    address: one.now.address,
    exports: ["CSV"],
  });
  const best = data && highest(points(stats));
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.banner} {id} <bdi class="user">{names(id)}</bdi>
      </h1>
      <dl class="tiles">
        <div class="tile">
          <dt>{T.total}</dt>
          <dd class={one.now.isStale ? "stale" : ""}>
            <span class="big">{data ? format.count(sum) : "…"}</span>
            {data && <Changed value={sum} before={one.cut.data?.total} against={against} />}
          </dd>
        </div>
        <div class="tile">
          <dt>{T.thisMinute}</dt>
          <dd>
            <span class="big open">{isOpen ? `${format.count(open.count)}~` : "0~"}</span>
            <span class="soft">{T.stillOpen}</span>
          </dd>
        </div>
        <div class="tile">
          <dt>{T.highestOf[step.value]}</dt>
          <dd>
            <span class="big">{best?.value ? format.count(best.value) : "–"}</span>
            {best?.value ? <span class="soft">{format.bucket(best.at, zone, step.value)}</span> : null}
          </dd>
        </div>
        <div class="tile wide">
          <dt>{T.clicksAreNotPeople}</dt>
          <dd class="soft">{T.clicksAreNotPeopleMore}</dd>
        </div>
      </dl>
      <Panel
        title={T.clicksPer(step.value)}
        of={one.now}
        empty={(shown) =>
          shown.total === 0 &&
          sum === 0 &&
          beside.length === 0 &&
          !shown.partial && (
            <>
              <p>{T.noClicks(format.range(asked, zone))}</p>
              <Command text={clickCommand(id)} />
            </>
          )
        }
      >
        {(shown) => <Series {...series(shown)} />}
      </Panel>
      <Rates id={id} />
      <div class="columns two">
        <Beside id={id} beside={beside} label={label} />
        <section class="panel">
          <h2>{T.countOne}</h2>
          <Command text={clickCommand(id)} />
        </section>
      </div>
      {data && sum > 0 && query.value.get("view") !== "table" && (
        <Panel title={T.stepNames[step.value]!} of={one.now}>
          {(shown) => <Twin {...series(shown)} />}
        </Panel>
      )}
    </>
  );
}

function Beside({ id, beside, label }: { id: number; beside: readonly number[]; label: (id: number) => string }) {
  const [text, type] = useState("");
  const isGood = isId(text.trim()) && Number(text) !== id;
  return (
    <section class="panel">
      <h2>{T.addBanner}</h2>
      <form
        class="group"
        onSubmit={(event) => {
          event.preventDefault();
          if (!isGood) return;
          set({ b: [...new Set([...beside, Number(text.trim())])].slice(0, MOST - 1).join(",") });
          type("");
        }}
      >
        <input
          inputMode="numeric"
          aria-label={T.bannerNumber}
          placeholder={T.bannerNumber}
          value={text}
          onInput={(event) => type(event.currentTarget.value)}
        />
        <button type="submit" disabled={!isGood || beside.length >= MOST - 1}>
          {T.add}
        </button>
      </form>
      <ul class="chips">
        {beside.map((one) => (
          <li key={one}>
            <bdi class="user">{label(one)}</bdi>{" "}
            <button
              type="button"
              class="plain"
              aria-label={`${T.remove} ${one}`}
              onClick={() => set({ b: beside.filter((other) => other !== one).join(",") })}
            >
              ×
            </button>
          </li>
        ))}
      </ul>
      {may("logs:read") && <Marks />}
    </section>
  );
}

/** Thin lines at the entries of one type. */
function Marks() {
  const [text, type] = useState(query.value.get("marks") ?? "");
  return (
    <form
      class="group"
      onSubmit={(event) => {
        event.preventDefault();
        set({ marks: text.trim() });
      }}
    >
      <label>
        {T.marks}{" "}
        <input value={text} maxLength={200} placeholder="deploy" onInput={(event) => type(event.currentTarget.value)} />
      </label>
      <button type="submit">{T.show}</button>
    </form>
  );
}
