/** Find a view, a banner, a tracker, a page or a type of events. Any number is a banner. */

import { useEffect, useId, useMemo, useState } from "preact/hooks";
import { get, question } from "../api/client";
import type { PageStatistics, TopEvents } from "../api/shapes";
import { Dialog } from "../parts/dialog";
import { visible } from "../parts/user";
import { pathOf, VIEWS, type View } from "../routes";
import { address, visit } from "../state/url";
import { T } from "../text";
import { M } from "../text.more";
import { asDates } from "../time/range";
import { range, zoneOf } from "../view";

interface Found {
  readonly kind: string;
  readonly name: string;
  readonly to: string;
}

interface Listed {
  readonly banners?: readonly { bannerId: number; name?: string | null }[];
  readonly trackers?: readonly { tracker_id: string; value: string }[];
}

const PAUSE_MS = 150;
const EACH = 6;
const BANNER_MAX = Number.MAX_SAFE_INTEGER;

const isBanner = (text: string) => /^[1-9]\d{0,15}$/.test(text) && Number(text) <= BANNER_MAX;
const isUuid = (text: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

/** What matches without asking the service. */
function atOnce(text: string): Found[] {
  const wanted = text.toLowerCase();
  const found: Found[] = (["", ...VIEWS] as View[])
    .filter((view) => T.views[view]!.toLowerCase().includes(wanted))
    .map((view) => ({ kind: M.view, name: T.views[view]!, to: address(pathOf(view)) }));
  if (isBanner(text)) found.unshift({ kind: T.one.banners!, name: text, to: address(pathOf("banners", text)) });
  if (isUuid(text)) found.unshift({ kind: T.one.trackers!, name: text, to: address(pathOf("trackers", text)) });
  return found;
}

async function asked(text: string, signal: AbortSignal): Promise<Found[]> {
  const dates = asDates(range.peek(), zoneOf());
  const wanted = text.toLowerCase();
  const quietly = <T,>(call: Promise<T>) => call.catch(() => undefined);
  const [banners, trackers, types, pages] = await Promise.all([
    quietly(get<Listed>(question("banners", { q: text, limit: EACH }), signal)),
    quietly(get<Listed>(question("trackers", { q: text, limit: EACH }), signal)),
    quietly(get<TopEvents>(question("stats/top-events", { ...dates, limit: 1000 }), signal)),
    quietly(get<PageStatistics>(question("stats/pages", { ...dates, limit: 100 }), signal)),
  ]);
  return [
    ...(banners?.banners ?? []).map((one) => ({
      kind: T.one.banners!,
      name: one.name ? `${one.bannerId} ${visible(one.name)}` : String(one.bannerId),
      to: address(pathOf("banners", one.bannerId)),
    })),
    ...(trackers?.trackers ?? []).map((one) => ({
      kind: T.one.trackers!,
      name: visible(one.value),
      to: address(pathOf("trackers", one.tracker_id)),
    })),
    ...(types?.events ?? [])
      .filter((one) => one.event_type.toLowerCase().includes(wanted))
      .slice(0, EACH)
      .map((one) => ({
        kind: T.eventType,
        name: visible(one.event_type),
        to: address("ui/events", { type: one.event_type }),
      })),
    ...(pages?.pages ?? [])
      .filter((one) => one.page_id.toLowerCase().includes(wanted))
      .slice(0, EACH)
      .map((one) => ({ kind: T.page, name: visible(one.page_id), to: address("ui/pages", { page: one.page_id }) })),
  ];
}

export function Find({ close }: { close: () => void }) {
  const id = useId();
  const [text, type] = useState("");
  const [more, put] = useState<Found[]>([]);
  const [isBusy, busy] = useState(false);
  const [at, move] = useState(0);
  const wanted = text.trim();
  useEffect(() => {
    put([]);
    if (!wanted) return;
    const abort = new AbortController();
    busy(true);
    const timer = setTimeout(async () => {
      const found = await asked(wanted, abort.signal);
      if (abort.signal.aborted) return;
      put(found);
      busy(false);
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
      busy(false);
    };
  }, [wanted]);
  const found = useMemo(() => {
    const all = [...atOnce(wanted), ...more];
    return all.filter((one, index) => all.findIndex((other) => other.to === one.to) === index);
  }, [wanted, more]);
  const go = (one: Found | undefined) => {
    if (!one) return;
    close();
    visit(one.to);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const last = found.length - 1;
    if (event.key === "ArrowDown") move(at >= last ? 0 : at + 1);
    else if (event.key === "ArrowUp") move(at <= 0 ? last : at - 1);
    else if (event.key === "Enter") go(found[at]);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title={T.find} close={close}>
      <input
        type="text"
        role="combobox"
        aria-label={M.findWhat}
        aria-expanded={found.length > 0}
        aria-controls={`${id}l`}
        aria-autocomplete="list"
        {...(found[at] && { "aria-activedescendant": `${id}${at}` })}
        placeholder={M.findWhat}
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={(event) => {
          type(event.currentTarget.value);
          move(0);
        }}
        onKeyDown={onKeyDown}
        autoFocus
      />
      <div id={`${id}l`} role="listbox" aria-label={M.found} class="found">
        {found.map((one, index) => (
          <div
            key={one.to}
            id={`${id}${index}`}
            role="option"
            aria-selected={index === at}
            onClick={() => go(one)}
            onPointerMove={() => move(index)}
          >
            <bdi class="user">{one.name}</bdi> <span class="soft">{one.kind}</span>
          </div>
        ))}
      </div>
      <p class="soft" role="status">
        {isBusy ? M.searching : wanted && found.length === 0 ? M.nothingFound : ""}
      </p>
    </Dialog>
  );
}
