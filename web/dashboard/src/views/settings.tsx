/** Who reads, what the service is, and what this browser prefers. Everything else is changed by commands. */

import type { ComponentChildren } from "preact";
import { Command } from "../parts/copy";
import { keys, spoken, THEMES, theme, zone } from "../state/prefs";
import { session, signOut } from "../state/session";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { isZone, OWN_ZONE, zoneOf } from "../view";
import { linkCommand, siteCommand } from "./commands";

const COMMANDS: readonly (readonly [keyof typeof M.commands, string])[] = [
  ["key", "tallybook keys create NAME --scope stats:read --expires 90d"],
  ["revoke", "tallybook keys revoke PREFIX"],
  ["banner", 'tallybook banners add 42 "Spring sale"'],
  ["tracker", 'tallybook trackers add "Spring sale"'],
  ["link", linkCommand()],
  ["site", siteCommand()],
  ["letters", "tallybook dlq list"],
];

export function Settings() {
  const { value } = session;
  const all = Intl.supportedValuesOf?.("timeZone") ?? [];
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.settings}
      </h1>
      <section class="panel">
        <h2>{M.thisBrowser}</h2>
        <div class="form">
          <label>
            {M.theme}{" "}
            <select
              value={theme.value}
              onChange={(event) => {
                theme.value = (event.currentTarget as HTMLSelectElement).value as (typeof THEMES)[number];
              }}
            >
              {THEMES.map((one) => (
                <option key={one} value={one}>
                  {T.themes[one]}
                </option>
              ))}
            </select>
          </label>
          <label>
            {T.zone}{" "}
            <select
              value={zone.value}
              onChange={(event) => {
                const { value: chosen } = event.currentTarget as HTMLSelectElement;
                if (chosen === "" || isZone(chosen)) zone.value = chosen;
              }}
            >
              <option value="">{M.zoneOfBrowser(OWN_ZONE)}</option>
              {["UTC", ...all.filter((one) => one !== "UTC")].map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </label>
          <label class="check">
            <input
              type="checkbox"
              checked={keys.value}
              onChange={() => {
                keys.value = !keys.peek();
              }}
            />{" "}
            {M.singleKeys}
          </label>
          <label class="check">
            <input
              type="checkbox"
              checked={spoken.value}
              onChange={() => {
                spoken.value = !spoken.peek();
              }}
            />{" "}
            {M.speak}
          </label>
        </div>
      </section>
      <section class="panel">
        <h2>{M.login}</h2>
        {value === undefined && <p>{T.notKnown}</p>}
        {value?.state === "open" && <p>{M.openService}</p>}
        {value?.state === "in" && (
          <>
            <Facts
              facts={[
                [M.key, value.name ?? "–"],
                [M.scopes, (value.scopes ?? []).join(", ")],
                [M.expires, value.expiresAt ? format.bucket(Date.parse(value.expiresAt), zoneOf(), "minute") : "–"],
              ]}
            />
            <button type="button" onClick={() => void signOut()}>
              {T.signOut}
            </button>
          </>
        )}
      </section>
      {value?.service && (
        <section class="panel">
          <h2>{M.service}</h2>
          <Facts facts={flattened(value.service)} />
        </section>
      )}
      <section class="panel">
        <h2>{M.commandsTitle}</h2>
        <p class="soft">{M.commandsMore}</p>
        {COMMANDS.map(([name, command]) => (
          <div key={name}>
            <h3>{M.commands[name]}</h3>
            <Command text={command} />
          </div>
        ))}
      </section>
    </>
  );
}

function Facts({ facts }: { facts: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Names and values of an object, those of inner objects with a dot. */
function flattened(value: Readonly<Record<string, unknown>>, before = ""): [string, string][] {
  return Object.entries(value).flatMap(([name, one]): [string, string][] => {
    const path = before + name;
    if (path === "limits.now") return [];
    if (one !== null && typeof one === "object" && !Array.isArray(one))
      return flattened(one as Record<string, unknown>, `${path}.`);
    const text =
      typeof one === "number"
        ? format.count(one)
        : Array.isArray(one)
          ? one.join(", ")
          : one === null
            ? "–"
            : String(one);
    return [[path, text]];
  });
}
