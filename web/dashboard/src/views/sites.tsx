/** The sites whose pages may report. */

import { question } from "../api/client";
import type { SiteList } from "../api/shapes";
import { Command } from "../parts/copy";
import { usePages } from "../parts/pages";
import { Panel } from "../parts/panel";
import { Table } from "../parts/table";
import { address } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { zoneOf } from "../view";
import { siteCommand } from "./commands";

export function Sites() {
  const zone = zoneOf();
  const { first, pages, more } = usePages<SiteList>(question("sites", { limit: 100 }), {
    every: 60_000,
    isSteady: true,
  });
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.sites}
      </h1>
      <Panel
        title={T.views.sites!}
        of={first}
        empty={(data) =>
          data.sites.length === 0 && (
            <>
              <p>{M.noSites}</p>
              <Command text={siteCommand()} />
            </>
          )
        }
      >
        {() => (
          <Table
            caption={T.views.sites!}
            rows={pages.flatMap((page) => page.sites)}
            rowKey={(row) => row.site}
            more={more}
            columns={[
              {
                key: "site",
                name: M.site,
                text: (row) => row.site,
                cell: (row) => <a href={address("ui/visitors", { site: row.site })}>{row.site}</a>,
              },
              { key: "hosts", name: M.hosts, text: (row) => row.hosts.join(", ") || M.none },
              { key: "zone", name: T.zone, isExtra: true, text: (row) => row.timezone },
              {
                key: "visitors",
                name: M.visitors,
                isExtra: true,
                text: (row) => (row.visitors ? M.visitorNames[row.visitors] : undefined),
              },
              {
                key: "at",
                name: `${M.added} (${zone})`,
                isExtra: true,
                text: (row) => format.stamp(Date.parse(row.createdAt), zone, "minute"),
              },
            ]}
          />
        )}
      </Panel>
      <section class="panel">
        <h2>{M.addSite}</h2>
        <p class="soft">{M.addSiteMore}</p>
        <Command text={siteCommand()} />
      </section>
    </>
  );
}
