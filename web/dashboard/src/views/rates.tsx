/** Impressions of banners, and the rate of clicks with both of its counts and its interval. */

import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { BannerMetrics, Figures } from "../api/shapes";
import type { Line } from "../chart/data";
import { Series } from "../chart/series";
import { fileName } from "../export/menu";
import { Panel } from "../parts/panel";
import type { Column } from "../parts/table";
import { TrafficSwitch, trafficOf } from "../parts/traffic";
import { T } from "../text";
import { M } from "../text.more";
import { ends } from "../time/clicks";
import * as format from "../time/format";
import { everyClicks, range, step, zoneOf } from "../view";

export const METRICS = "clicks,served,viewable,ctr";

export const hasImpressions = (figures: Figures | undefined) =>
  Boolean(figures && (figures.served || figures.viewable));

/** The rate, or a dash where nothing was viewable. */
export const rateOf = (figures: Figures) =>
  figures.ctr === null || figures.ctr === undefined ? "–" : format.rate(figures.ctr);

/** `12 of 610, 1.13 % to 3.41 %`: what a rate stands on. */
export function groundsOf(figures: Figures): string {
  const counts = M.clicksOf(format.count(figures.clicks ?? 0), format.count(figures.viewable ?? 0));
  const { ctrLow, ctrHigh } = figures;
  if (ctrLow === null || ctrLow === undefined || ctrHigh === null || ctrHigh === undefined) return counts;
  return `${counts}, ${M.between(format.rate(ctrLow), format.rate(ctrHigh))}`;
}

/** Columns of a list of banners. What was not asked for is a gap. */
export function rateColumns<R extends { readonly figures?: Figures }>(): Column<R>[] {
  return [
    { key: "served", name: M.served, isNumber: true, isExtra: true, sorts: true, text: (row) => row.figures?.served },
    {
      key: "viewable",
      name: M.viewable,
      isNumber: true,
      isExtra: true,
      sorts: true,
      text: (row) => row.figures?.viewable,
    },
    {
      key: "ctr",
      name: M.ctr,
      isNumber: true,
      isExtra: true,
      sorts: true,
      text: (row) => row.figures?.ctr,
      cell: (row) => (
        <span title={row.figures && groundsOf(row.figures)}>{row.figures ? rateOf(row.figures) : "–"}</span>
      ),
    },
    {
      key: "interval",
      name: M.interval,
      isNumber: true,
      isWide: true,
      text: (row) => {
        const { ctrLow, ctrHigh } = row.figures ?? {};
        return ctrLow === null || ctrLow === undefined || ctrHigh === null || ctrHigh === undefined
          ? undefined
          : M.between(format.rate(ctrLow), format.rate(ctrHigh));
      },
    },
  ];
}

/** Impressions and rate of one banner. Nothing, while it has none of anybody. */
export function Rates({ id }: { id: number }) {
  const asked = range.value;
  const zone = zoneOf();
  const traffic = trafficOf();
  const ask = (of: string) =>
    question(`stats/${id}`, { ...ends(asked), step: step.value, fill: true, metrics: METRICS, traffic: of });
  const found = useApi<BannerMetrics>(ask(traffic), everyClicks());
  const any = useApi<BannerMetrics>(traffic === "all" ? null : ask("all"));
  if (!hasImpressions(found.data?.totals) && !hasImpressions(any.data?.totals)) return null;
  const line = (data: BannerMetrics, name: string, value: (one: BannerMetrics["stats"][number]) => number | null) => ({
    name,
    points: data.stats.map((one) => {
      const at = Date.parse(one.timestamp);
      const isKnown = at <= Date.parse(data.asOf) && !(data.partial && !one.served && !one.viewable && !one.clicks);
      return { at, value: isKnown ? value(one) : null, isFinal: one.final };
    }),
  });
  const shared = { step: step.value, zone, range: asked, address: found.address };
  const file = (kind: string) => fileName(["banner", String(id), kind, step.value, asked.from, asked.to, zone]);
  return (
    <Panel title={M.impressions} of={found} tools={<TrafficSwitch />} note={M.trafficNote}>
      {(data) => {
        const { totals } = data;
        const lines: Line[] = [
          line(data, M.served, (one) => one.served ?? null),
          line(data, M.viewable, (one) => one.viewable ?? null),
          line(data, T.clicks, (one) => one.clicks ?? null),
        ];
        return (
          <>
            <dl class="tiles">
              <div class="tile">
                <dt>{M.served}</dt>
                <dd>
                  <span class="big">{format.count(totals.served ?? 0)}</span>
                </dd>
              </div>
              <div class="tile">
                <dt>{M.viewable}</dt>
                <dd>
                  <span class="big">{format.count(totals.viewable ?? 0)}</span>
                </dd>
              </div>
              <div class="tile">
                <dt>{M.ctr}</dt>
                <dd>
                  <span class="big">{rateOf(totals)}</span>
                  <span class="soft">{groundsOf(totals)}</span>
                </dd>
              </div>
            </dl>
            <Series
              {...shared}
              title={M.impressions}
              lines={lines}
              zooms
              file={file("impressions")}
              exports={["CSV"]}
            />
            <h3>{M.ctr}</h3>
            <Series
              {...shared}
              title={M.ctr}
              lines={[line(data, M.ctr, (one) => one.ctr ?? null)]}
              kind="line"
              adds={false}
              value={format.rate}
              file={file("ctr")}
            />
          </>
        );
      }}
    </Panel>
  );
}
