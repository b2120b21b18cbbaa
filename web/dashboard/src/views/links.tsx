/** Redirect links, and the clicks of the banner that each counts for. */

import { get, question } from "../api/client";
import { useApi } from "../api/resource";
import type { LinkList, Metrics } from "../api/shapes";
import { Bar } from "../chart/bars";
import { exportMenu, fileName } from "../export/menu";
import { Command } from "../parts/copy";
import { usePages } from "../parts/pages";
import { Panel } from "../parts/panel";
import { Search } from "../parts/search";
import { type Column, Table } from "../parts/table";
import { TrafficSwitch, trafficOf } from "../parts/traffic";
import { User, visible } from "../parts/user";
import { pathOf } from "../routes";
import { now } from "../state/clock";
import { address, query } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import { ends } from "../time/clicks";
import * as format from "../time/format";
import { everyClicks, range, zoneOf } from "../view";
import { linkCommand, root } from "./commands";
import { sparkStep } from "./overview";

/** Links of a page: as many as one question about banners may name. */
const PAGE = 100;

type Link = LinkList["links"][number];
/** A page, with the clicks of its banners where these were asked for with it. */
type Page = LinkList & { readonly counts?: Metrics["banners"] };

const countsOf = (page: LinkList | undefined) => {
  const ids = [...new Set(page?.links.map((one) => one.bannerId))].sort((a, b) => a - b);
  if (!ids.length) return null;
  const values = { bannerIds: ids.join(","), ...ends(range.value), step: sparkStep() };
  return question("stats", { ...values, metrics: "clicks", traffic: trafficOf() });
};

export function stateOf(link: Link, at: number): string {
  if (!link.active) return M.linkStates.off!;
  return link.expiresAt !== undefined && Date.parse(link.expiresAt) <= at ? M.linkStates.over! : M.linkStates.open!;
}

export function LinkTable() {
  const wanted = query.value.get("q") ?? "";
  const zone = zoneOf();
  const asked = range.value;
  const { first, pages, more } = usePages<Page>(question("links", { q: wanted, limit: PAGE }), {
    key: `${wanted} ${asked.from} ${asked.to} ${zone} ${trafficOf()}`,
    every: 60_000,
    isSteady: true,
    ask: async (address) => {
      const page = await get<LinkList>(address);
      const counts = countsOf(page);
      return { ...page, counts: counts === null ? [] : (await get<Metrics>(counts)).banners };
    },
  });
  const counted = useApi<Metrics>(countsOf(first.data), everyClicks());
  const clicks = new Map(
    [...(counted.data?.banners ?? []), ...pages.flatMap((page) => page.counts ?? [])].map((one) => [
      one.bannerId,
      one.totals.clicks,
    ]),
  );
  const rows = pages.flatMap((page) => page.links);
  const most = Math.max(0, ...rows.map((row) => clicks.get(row.bannerId) ?? 0));
  const caption = `${T.views.links}, ${format.range(asked, zone)}, ${zone}`;
  const columns: Column<Link>[] = [
    {
      key: "slug",
      name: M.link,
      sorts: true,
      text: (row) => `${root()}/r/${row.slug}`,
      cell: (row) => <span class="code slug">/r/{row.slug}</span>,
    },
    {
      key: "url",
      name: M.destination,
      isExtra: true,
      text: (row) => row.url,
      cell: (row) => (
        <span class="long">
          <User text={row.url} />
        </span>
      ),
    },
    {
      key: "banner",
      name: T.banner,
      sorts: true,
      text: (row) => row.bannerId,
      cell: (row) => <a href={address(pathOf("banners", row.bannerId))}>{row.bannerId}</a>,
    },
    {
      key: "clicks",
      name: M.clicksOfBanner,
      isNumber: true,
      sorts: true,
      text: (row) => clicks.get(row.bannerId),
      cell: (row) => {
        const value = clicks.get(row.bannerId);
        return value === undefined ? "–" : <Bar value={value} most={most} />;
      },
    },
    { key: "state", name: M.state, isExtra: true, text: (row) => stateOf(row, now.value) },
    {
      key: "expires",
      name: `${M.expires} (${zone})`,
      isExtra: true,
      text: (row) => (row.expiresAt ? format.stamp(Date.parse(row.expiresAt), zone, "minute") : M.never),
    },
  ];
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.links}
      </h1>
      <div class="group choices">
        <search>
          <Search label={M.searchLinks} most={200} />
        </search>
        <TrafficSwitch />
      </div>
      <Panel
        title={T.views.links!}
        of={first}
        note={M.linksNote}
        tools={
          rows.length > 0 &&
          exportMenu({
            file: fileName(["links", asked.from, asked.to, zone]),
            caption,
            columns,
            rows,
            address: first.address,
          })
        }
        empty={(data) =>
          data.links.length === 0 &&
          (wanted ? (
            <p>{M.noLink(visible(wanted))}</p>
          ) : (
            <>
              <p>{M.noLinks}</p>
              <Command text={linkCommand()} />
            </>
          ))
        }
      >
        {() => (
          <>
            {counted.problem && <p class="fault">{counted.problem.detail}</p>}
            <Table caption={caption} columns={columns} rows={rows} rowKey={(row) => row.slug} more={more} />
          </>
        )}
      </Panel>
    </>
  );
}
