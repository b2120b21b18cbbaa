/** Page views: how many, by how many users, how long, and which pages. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { PageStatistics } from "../api/shapes";
import { Bar } from "../chart/bars";
import type { Line } from "../chart/data";
import { Series } from "../chart/series";
import { exportMenu, fileName } from "../export/menu";
import { Command } from "../parts/copy";
import { Panel } from "../parts/panel";
import { type Column, Table } from "../parts/table";
import { Changed } from "../parts/tile";
import { User } from "../parts/user";
import { serviceNow } from "../state/clock";
import { address, query, set } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { DAY_MS, length } from "../time/range";
import { STEP_MS, type Step } from "../time/step";
import { before, comparison, everyRows, isAuto, range, step } from "../view";
import { viewsCommand } from "./commands";
import { isOpen } from "./event_type";
import { pageEnds } from "./overview";

const PAGES = 100;
/** Days for which page views are kept by minute. */
const MINUTES_DAYS = 7;
/** Hours up to which views are shown by minute without being asked. */
const HOURS_FINE = 6;

type Place = NonNullable<PageStatistics["pages"]>[number];
type Fresh = PageStatistics & { readonly asOf?: string; readonly freshUntil?: string | null };

export function Pages() {
  const asked = range.value;
  const page = query.value.get("page") ?? "";
  const isRecent = Date.parse(asked.from) > serviceNow() - MINUTES_DAYS * DAY_MS;
  const isFine = step.value === "minute" && (!isAuto.value || length(asked) <= HOURS_FINE * STEP_MS.hour);
  const by: Step = isFine && isRecent ? "minute" : "hour";
  const zone = "UTC";
  const found = useApi<Fresh>(
    question("stats/pages", { ...pageEnds(asked), step: by, page_id: page, limit: PAGES }),
    everyRows(),
  );
  const past = before.value;
  const former = useApi<Fresh>(
    past ? question("stats/pages", { ...pageEnds(past), step: "hour", page_id: page, limit: 1 }) : null,
  );
  const against = T.comparisons[comparison.value]!;
  const caption = `${T.topPages}, ${format.range(asked, zone)}, ${zone}`;
  const columns: Column<Place>[] = [
    {
      key: "page",
      name: T.page,
      sorts: true,
      text: (row) => row.page_id,
      cell: (row) => (
        <a href={address("ui/pages", { page: row.page_id })}>
          <User text={row.page_id} />
        </a>
      ),
    },
    {
      key: "views",
      name: T.pageViews,
      isNumber: true,
      sorts: true,
      text: (row) => row.views,
      cell: (row) => <Bar value={row.views} most={found.data?.pages?.[0]?.views ?? 0} />,
    },
    { key: "users", name: T.users, isNumber: true, sorts: true, text: (row) => row.users },
    {
      key: "duration",
      name: M.meanDuration,
      isNumber: true,
      isExtra: true,
      sorts: true,
      text: (row) => row.average_duration_ms,
      cell: (row) => format.duration(row.average_duration_ms),
    },
    {
      key: "bounces",
      name: M.bounceRate,
      isNumber: true,
      isExtra: true,
      sorts: true,
      text: (row) => row.bounce_rate,
      cell: (row) => format.percent(row.bounce_rate),
    },
  ];
  const line = (data: Fresh, name: string, value: (one: Fresh["stats"][number]) => number): Line => ({
    name,
    points: filled(data, by).map(({ at, one }) => ({
      at,
      value: one ? value(one) : at > serviceNow() ? null : 0,
      isFinal: !isOpen(at, data.freshUntil, STEP_MS[by]),
    })),
  });
  const rate = (data: Fresh, name: string, value: (one: Fresh["stats"][number]) => number): Line => ({
    name,
    points: filled(data, by).map(({ at, one }) => ({
      at,
      value: one ? value(one) : null,
      isFinal: !isOpen(at, data.freshUntil, STEP_MS[by]),
    })),
  });
  const file = (kind: string) => fileName(["pages", kind, by, asked.from, asked.to, zone]);
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {page ? T.page : T.views.pages} {page && <User text={page} />}
      </h1>
      {page && (
        <button type="button" onClick={() => set({ page: null })}>
          {M.allPages}
        </button>
      )}
      <dl class="tiles">
        <Sum name={T.pageViews} data={found.data} value={(data) => format.count(data.total.views)}>
          {!asked.isRunning && found.data && (
            <Changed value={found.data.total.views} before={former.data?.total.views} against={against} />
          )}
        </Sum>
        <Sum name={T.users} data={found.data} value={(data) => format.count(data.total.users)}>
          {!asked.isRunning && found.data && (
            <Changed value={found.data.total.users} before={former.data?.total.users} against={against} />
          )}
        </Sum>
        <Sum
          name={M.meanDuration}
          data={found.data}
          value={(data) => (data.total.views ? format.duration(data.total.average_duration_ms) : "–")}
        />
        <Sum
          name={M.bounceRate}
          data={found.data}
          value={(data) => (data.total.views ? format.percent(data.total.bounce_rate) : "–")}
        />
      </dl>
      <Panel
        title={M.viewsPer(by)}
        of={found}
        chip="UTC"
        note={M.usersDoNotAdd}
        empty={(data) =>
          data.total.views === 0 && (
            <>
              <p>{T.noViewsIn(format.range(asked, zone))}</p>
              {!page && <Command text={viewsCommand()} />}
            </>
          )
        }
      >
        {(data) => (
          <>
            <Series
              title={M.viewsPer(by)}
              lines={[line(data, T.pageViews, (one) => one.views), line(data, T.users, (one) => one.users)]}
              step={by}
              zone={zone}
              range={asked}
              adds={false}
              zooms
              file={file("views")}
              address={found.address}
            />
            <h3>{M.meanDuration}</h3>
            <Series
              title={M.meanDuration}
              lines={[rate(data, M.meanDuration, (one) => one.average_duration_ms)]}
              step={by}
              zone={zone}
              range={asked}
              kind="line"
              adds={false}
              value={format.duration}
              file={file("duration")}
            />
            <h3>{M.bounceRate}</h3>
            <Series
              title={M.bounceRate}
              lines={[rate(data, M.bounceRate, (one) => one.bounce_rate)]}
              step={by}
              zone={zone}
              range={asked}
              kind="line"
              adds={false}
              value={format.percent}
              file={file("bounces")}
            />
          </>
        )}
      </Panel>
      {!page && (
        <Panel
          title={T.topPages}
          of={found}
          chip="UTC"
          tools={
            found.data?.pages &&
            exportMenu({
              file: fileName(["top-pages", asked.from, asked.to, zone]),
              caption,
              columns,
              rows: found.data.pages,
              address: found.address,
            })
          }
          empty={(data) => !data.pages?.length && <p>{T.noViewsIn(format.range(asked, zone))}</p>}
        >
          {(data) => (
            <Table caption={caption} columns={columns} rows={data.pages ?? []} rowKey={(row) => row.page_id} />
          )}
        </Panel>
      )}
    </>
  );
}

function Sum(props: {
  name: string;
  data: Fresh | undefined;
  value: (data: Fresh) => string;
  children?: preact.ComponentChildren;
}) {
  return (
    <div class="tile">
      <dt>{props.name}</dt>
      <dd>
        <span class="big">{props.data ? props.value(props.data) : "…"}</span>
        {props.children}
      </dd>
    </div>
  );
}

/** All buckets of UTC between the ends that the answer names; the service leaves out those without views. */
function filled(data: Fresh, by: Step): { at: number; one: Fresh["stats"][number] | undefined }[] {
  const known = new Map(data.stats.map((one) => [Date.parse(one.timestamp), one]));
  const all: { at: number; one: Fresh["stats"][number] | undefined }[] = [];
  for (let at = Date.parse(data.from); at < Date.parse(data.to); at += STEP_MS[by])
    all.push({ at, one: known.get(at) });
  return all;
}
