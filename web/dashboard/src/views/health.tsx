/** Do the books balance, what is late, what was refused, and which store is away? */

import type { Shown } from "../api/resource";
import { useApi } from "../api/resource";
import type { Accounts, Ready } from "../api/shapes";
import { Panel } from "../parts/panel";
import { User } from "../parts/user";
import { may } from "../state/session";
import { T } from "../text";
import { M } from "../text.more";
import * as format from "../time/format";
import { zoneOf } from "../view";
import { Delays } from "./delays";

const CHECK_MS = 5_000;
const BOOKS_MS = 15_000;

export function Health() {
  const ready = useApi<Ready>("health/ready", CHECK_MS);
  const books = useApi<Accounts>(may("admin") ? "accounting" : null, BOOKS_MS);
  const wrong = books.data ? differences(books.data) : [];
  return (
    <>
      <h1 id="title" tabIndex={-1}>
        {T.views.health}
      </h1>
      {wrong.length > 0 && (
        <p class="trouble" role="alert">
          <strong>✖ {M.booksWrong(wrong)}</strong>
        </p>
      )}
      <Panel title={M.state} of={ready} tools={<Again of={ready} />}>
        {(data) => (
          <>
            <p class={`state ${data.status}`}>{M.accepts[data.status]}</p>
            <ul class="checks">
              {Object.entries(data.checks).map(([name, state]) => (
                <li key={name} class={`state ${state}`}>
                  {name} <strong>{T.states[state]}</strong>
                </li>
              ))}
            </ul>
            {(data.reasons?.length ?? 0) > 0 && (
              <>
                <h3>{M.reasons}</h3>
                <ul>
                  {data.reasons!.map((reason) => (
                    <li key={reason}>
                      <User text={reason} />
                    </li>
                  ))}
                </ul>
              </>
            )}
          </>
        )}
      </Panel>
      {may("admin") ? (
        <Panel title={M.books} of={books} tools={<Again of={books} />} note={M.booksNote}>
          {(data) => (
            <>
              <p class={`state ${wrong.length ? "unavailable" : "ok"}`}>
                {wrong.length ? M.booksWrong(wrong) : M.booksBalance}
              </p>
              <Equation
                name={T.clicks}
                total={data.accepted}
                difference={data.difference}
                parts={[
                  [M.book.persisted!, data.persisted],
                  [M.book.open!, data.open],
                  [M.book.inLanes!, data.inLanes],
                ]}
              />
              {Object.entries(data.records ?? {}).map(([table, book]) => (
                <Equation
                  key={table}
                  name={M.tables[table] ?? table}
                  total={book.accepted}
                  difference={book.difference}
                  parts={(["stored", "duplicate", "deadLettered", "skipped", "inFlight", "inJournals"] as const).map(
                    (word) => [M.book[word]!, book[word]],
                  )}
                />
              ))}
            </>
          )}
        </Panel>
      ) : (
        <section class="panel">
          <h2>{M.books}</h2>
          <p>{T.needsScope("admin")}</p>
        </section>
      )}
      <Delays />
    </>
  );
}

function differences(data: Accounts): string[] {
  const wrong: string[] = data.difference === 0 ? [] : [T.clicks];
  for (const [table, book] of Object.entries(data.records ?? {}))
    if (book.difference !== 0) wrong.push(M.tables[table] ?? table);
  return wrong;
}

function Again({ of }: { of: Shown<unknown> }) {
  return (
    <>
      <span class="soft">
        {M.checked} {of.data !== undefined ? format.clock(Date.now(), zoneOf()) : "–"}
      </span>{" "}
      <button type="button" onClick={of.retry}>
        {M.again}
      </button>
    </>
  );
}

/** `accepted 9 = persisted 8 + open 1`, in words and as bars. */
function Equation(props: {
  name: string;
  total: number | null;
  difference: number;
  parts: readonly (readonly [string, number | null])[];
}) {
  const shown = props.parts.filter(([, value], index) => index === 0 || value === null || value > 0);
  const most = Math.max(1, ...props.parts.map(([, value]) => value ?? 0));
  return (
    <div class="equation">
      <h3>{props.name}</h3>
      <p>
        {M.book.accepted} <strong>{props.total === null ? T.notKnown : format.count(props.total)}</strong> ={" "}
        {shown.map(([name, value], index) => (
          <span key={name}>
            {index > 0 && " + "}
            {name} <strong>{value === null ? T.notKnown : format.count(value)}</strong>
          </span>
        ))}
      </p>
      <p class={`state ${props.difference === 0 ? "ok" : "unavailable"}`}>
        {M.difference} {format.count(props.difference)} {props.difference === 0 ? T.states.ok : T.states.wrong}
      </p>
      <div class="terms" aria-hidden="true">
        {shown.map(([name, value], index) => (
          <div key={name}>
            <span class="soft">{name}</span>
            <span
              class={`term s${(index % 5) + 1}`}
              style={{ inlineSize: `${(Math.max(0.3, (70 * (value ?? 0)) / most)).toFixed(1)}%` }}
            />
          </div>
        ))}
      </div>
    </div>
  );
}
