/** What to run when nothing was counted yet. The page asks again and says what has arrived. */

import { useEffect, useRef, useState } from "preact/hooks";
import { question } from "../api/client";
import { useApi } from "../api/resource";
import type { Accounts, EventLogs, PageStatistics, Top, TopEvents } from "../api/shapes";
import { Command } from "../parts/copy";
import { serviceNow } from "../state/clock";
import { M } from "../text.more";
import * as format from "../time/format";
import { moment } from "../time/range";
import { zoneOf } from "../view";
import { clickCommand, entryCommand, eventCommand, root, trackerCommand, viewsCommand } from "./commands";

const EVERY_MS = 2_000;
const HOUR_MS = 3_600_000;
/** The time at which something was first seen to be there. */
function useArrival(is: boolean): number | undefined {
  const [at, put] = useState<number>();
  useEffect(() => {
    if (is && at === undefined) put(serviceNow());
  }, [is]);
  return at;
}

export function FirstRun() {
  const [from] = useState(() => moment(Math.floor((serviceNow() - HOUR_MS) / 60_000) * 60_000));
  const [to] = useState(() => moment(Math.floor((serviceNow() + 24 * HOUR_MS) / 60_000) * 60_000));
  const event = useRef(eventCommand());
  const clicks = useApi<Top>(question("stats/top", { limit: 1 }), EVERY_MS);
  const books = useApi<Accounts>("accounting", 15_000);
  const events = useApi<TopEvents>(
    question("stats/top-events", { from: from.slice(0, 10), to: to.slice(0, 10), limit: 1 }),
    5_000,
  );
  const views = useApi<PageStatistics>(question("stats/pages", { from, to, step: "hour", limit: 1 }), 5_000);
  const entries = useApi<EventLogs>(question("logs", { from, to, limit: 1 }), 5_000);
  const hits = books.data?.records?.tracker_events?.accepted ?? 0;
  return (
    <section class="panel first" aria-label={M.firstRun}>
      <h2>{M.nothingYet}</h2>
      <ol>
        <Step name={M.firstClick} text={clickCommand()} at={useArrival((clicks.data?.banners.length ?? 0) > 0)} />
        <Step
          name={M.firstHit}
          text={`${trackerCommand()}\ncurl -i "${root()}/track?id=ID"`}
          at={useArrival((hits ?? 0) > 0)}
        />
        <Step name={M.firstEvent} text={event.current} at={useArrival((events.data?.events.length ?? 0) > 0)} />
        <Step name={M.firstView} text={viewsCommand()} at={useArrival((views.data?.total.views ?? 0) > 0)} />
        <Step name={M.firstEntry} text={entryCommand()} at={useArrival((entries.data?.events.length ?? 0) > 0)} />
      </ol>
    </section>
  );
}

function Step({ name, text, at }: { name: string; text: string; at: number | undefined }) {
  return (
    <li class={at === undefined ? "" : "arrived"}>
      <h3>{name}</h3>
      <Command text={text} label={name} />
      <p role="status">{at === undefined ? `○ ${M.waitingFor}` : `● ${M.arrived} ${format.clock(at, zoneOf())}`}</p>
    </li>
  );
}
