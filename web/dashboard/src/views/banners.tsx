/** The ranking of a range, and the list by name. */

import { useState } from "preact/hooks";
import { get, question } from "../api/client";
import { useApi } from "../api/resource";
import type { Statistics, Top } from "../api/shapes";
import { Bar } from "../chart/bars";
import { Spark } from "../chart/spark";
import { exportMenu, fileName } from "../export/menu";
import { useBanners } from "../live/use";
import { Command } from "../parts/copy";
import { Panel } from "../parts/panel";
import { type Column, Table } from "../parts/table";
import { said } from "../parts/tile";
import { visible } from "../parts/user";
import { pathOf } from "../routes";
import { address, query, set } from "../state/url";
import { T } from "../text";
import { ends, useCompared } from "../time/clicks";
import { change } from "../time/compare";
import * as format from "../time/format";
import { comparison, everyClicks, range, zoneOf } from "../view";
import { clickCommand } from "./commands";
import { type Named, useNames } from "./names";
import { sparkStep } from "./overview";

const FIRST = 100;
/** Banners that one question about series may name. */
const SERIES_MOST = 100;

interface Row {
  readonly place: number;
  readonly id: number;
  readonly name: string;
  readonly count: number | undefined;
  readonly before: number | undefined;
  readonly spark: readonly number[];
  readonly open: number | undefined;
}

export function Banners() {
  const wanted = query.value.get("q") ?? "";
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.banners}
      </h1>
      <Search wanted={wanted} />
      {wanted ? <Named_ wanted={wanted} /> : <Ranking />}
    </>
  );
}

function Search({ wanted }: { wanted: string }) {
  const [text, type] = useState(wanted);
  return (
    <search>
      <form
        class="group"
        onSubmit={(event) => {
          event.preventDefault();
          set({ q: text.trim() });
        }}
      >
        <input
          type="search"
          aria-label={T.searchBanners}
          placeholder={T.searchBanners}
          maxLength={200}
          value={text}
          onInput={(event) => type(event.currentTarget.value)}
        />
        <button type="submit">{T.search}</button>
        {wanted && (
          <button
            type="button"
            onClick={() => {
              type("");
              set({ q: null });
            }}
          >
            {T.wholeRanking}
          </button>
        )}
      </form>
    </search>
  );
}

/** Series and former totals of as many banners as one question may name. */
function useSeries(ids: readonly number[]) {
  const named = ids.slice(0, SERIES_MOST);
  return useCompared<Statistics>(named.length ? "stats" : null, { bannerIds: named.join(",") }, sparkStep());
}

function useRows(
  counted: readonly { bannerId: number; count?: number }[],
  namesKnown?: (id: number) => string,
): { rows: Row[]; hasOpen: boolean } {
  const ids = counted.map((one) => one.bannerId);
  const series = useSeries(ids);
  const asked = useNames(namesKnown ? [] : ids);
  const names = namesKnown ?? asked;
  const live = useBanners(ids);
  const now = new Map(series.now.data?.banners.map((one) => [one.bannerId, one]));
  const past = new Map(series.cut.data?.banners.map((one) => [one.bannerId, one.total]));
  const rows = counted.map((one, index): Row => {
    const found = now.get(one.bannerId);
    const open = live.latest(one.bannerId);
    return {
      place: index + 1,
      id: one.bannerId,
      name: names(one.bannerId),
      count: one.count ?? found?.total,
      before: past.get(one.bannerId),
      spark: found?.stats.map((bucket) => bucket.count) ?? [],
      open: open?.count,
    };
  });
  return { rows, hasOpen: rows.some((row) => row.open !== undefined) };
}

function columnsFor(most: number, hasOpen: boolean, isRanking: boolean): Column<Row>[] {
  const against = T.comparisons[comparison.value]!;
  return [
    ...(isRanking
      ? [{ key: "place", name: T.place, isNumber: true, isExtra: true, text: (row: Row) => row.place }]
      : []),
    {
      key: "id",
      name: T.banner,
      sorts: true,
      text: (row) => row.id,
      cell: (row) => <a href={address(pathOf("banners", row.id))}>{row.id}</a>,
    },
    {
      key: "name",
      name: T.name,
      sorts: true,
      text: (row) => row.name,
      cell: (row) => <bdi class="user">{row.name || "–"}</bdi>,
    },
    {
      key: "count",
      name: T.clicks,
      isNumber: true,
      sorts: true,
      text: (row) => row.count,
      cell: (row) => (row.count === undefined ? "–" : <Bar value={row.count} most={most} />),
    },
    ...(comparison.value === "off"
      ? []
      : [
          {
            key: "before",
            name: T.beforeOf(against),
            isNumber: true,
            isExtra: true,
            sorts: true,
            text: (row: Row) => row.before,
          },
          {
            key: "change",
            name: T.change,
            isNumber: true,
            text: (row: Row) => {
              const found = change(row.count ?? 0, row.before);
              return found ? said(found) : "–";
            },
          },
        ]),
    ...(hasOpen
      ? [
          {
            key: "open",
            name: T.thisMinute,
            isNumber: true,
            sorts: true,
            text: (row: Row) => row.open,
            cell: (row: Row) => <span class="open">{row.open === undefined ? "–" : `${format.count(row.open)}~`}</span>,
          },
        ]
      : []),
    { key: "spark", name: T.course, isExtra: true, text: () => "", cell: (row) => <Spark values={row.spark} /> },
  ];
}

function Ranking() {
  const asked = range.value;
  const zone = zoneOf();
  const [limit, more] = useState(FIRST);
  const top = useApi<Top>(question("stats/top", { ...ends(asked), limit }), everyClicks());
  const { rows, hasOpen } = useRows(top.data?.banners ?? []);
  const columns = columnsFor(top.data?.banners[0]?.count ?? 0, hasOpen, true);
  const caption = `${T.topBanners}, ${format.range(asked, zone)}, ${zone}`;
  return (
    <Panel
      title={T.topBanners}
      of={top}
      note={T.clicksAreNotPeople}
      tools={
        top.data &&
        exportMenu({
          file: fileName(["top", asked.from, asked.to, zone, top.data.asOf]),
          caption,
          columns: columns.filter((one) => one.key !== "spark"),
          rows,
          address: top.address,
          service: ["CSV"],
        })
      }
      empty={(data) =>
        data.banners.length === 0 &&
        !data.partial && (
          <>
            <p>{T.noClicks(format.range(asked, zone))}</p>
            <Command text={clickCommand()} />
          </>
        )
      }
    >
      {(data) => (
        <Table
          caption={caption}
          columns={columns}
          rows={rows}
          rowKey={(row) => row.id}
          more={
            data.banners.length === limit &&
            limit < 1000 && (
              <button type="button" onClick={() => more(1000)}>
                {T.more}
              </button>
            )
          }
        />
      )}
    </Panel>
  );
}

/** Registered banners whose id or name matches, page by page. */
function Named_({ wanted }: { wanted: string }) {
  const first = useApi<Named>(question("banners", { q: wanted, limit: FIRST }));
  const [later, put] = useState<{ of: string; pages: readonly Named[] }>({ of: wanted, pages: [] });
  const [isBusy, busy] = useState(false);
  const pages = [...(first.data ? [first.data] : []), ...(later.of === wanted ? later.pages : [])];
  const listed = pages.flatMap((page) => page.banners);
  const names = new Map(listed.map((one) => [one.bannerId, one.name ?? ""]));
  const { rows, hasOpen } = useRows(listed, (id) => visible(names.get(id) ?? ""));
  const next = pages.at(-1)?.next;
  const load = async () => {
    busy(true);
    try {
      const page = await get<Named>(question("banners", { q: wanted, limit: FIRST, cursor: next }));
      put({ of: wanted, pages: [...(later.of === wanted ? later.pages : []), page] });
    } finally {
      busy(false);
    }
  };
  const most = Math.max(0, ...rows.map((row) => row.count ?? 0));
  return (
    <Panel
      title={T.foundBanners(visible(wanted))}
      of={first}
      empty={(data) => data.banners.length === 0 && <p>{T.noBanner(visible(wanted))}</p>}
    >
      {() => (
        <Table
          caption={`${T.foundBanners(visible(wanted))}, ${format.range(range.value, zoneOf())}, ${zoneOf()}`}
          columns={columnsFor(most, hasOpen, false)}
          rows={rows}
          rowKey={(row) => row.id}
          more={
            next && (
              <button type="button" disabled={isBusy} onClick={() => void load()}>
                {T.more}
              </button>
            )
          }
        />
      )}
    </Panel>
  );
}
