/** A part of a view that shows one answer, in every state that an answer can have. */

import { Component, type ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { NO_ANSWER, type Problem } from "../api/problem";
import type { Shown } from "../api/resource";
import { T } from "../text";
import * as format from "../time/format";
import { zoneOf } from "../view";

interface Covered {
  readonly asOf?: string;
  readonly partial?: boolean;
  readonly missing?: readonly string[];
}

export interface PanelProps<T> {
  readonly title: string;
  readonly of?: Shown<T>;
  readonly children?: (data: T) => ComponentChildren;
  /** What to show where the answer has nothing; false where it has something. */
  readonly empty?: (data: T) => ComponentChildren | false;
  /** What stands at the right of the title. */
  readonly tools?: ComponentChildren;
  readonly chip?: string;
  readonly chipTitle?: string;
  readonly class?: string;
  readonly note?: ComponentChildren;
}

/** Keep a crash inside its panel. */
export class Boundary extends Component<{ children: ComponentChildren; title: string }, { error?: Error }> {
  override state: { error?: Error } = {};

  static override getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <section class="panel">
        <h2>{this.props.title}</h2>
        <div class="trouble" role="alert">
          <p>{T.crashed}</p>
          <p class="soft">
            <code>{String(error.message ?? error)}</code>
          </p>
          <button type="button" onClick={() => this.setState({ error: undefined as unknown as Error })}>
            {T.retry}
          </button>
        </div>
      </section>
    );
  }
}

function Countdown({ until }: { until: number }) {
  const [left, put] = useState(until - Date.now());
  useEffect(() => {
    const timer = setInterval(() => put(until - Date.now()), 250);
    return () => clearInterval(timer);
  }, [until]);
  return <p>{T.busyAgain(Math.max(1, Math.ceil(left / 1000)))}</p>;
}

/** The sentence of a problem, with what to do. */
export function Trouble({
  problem,
  againAt,
  retry,
}: {
  problem: Problem;
  againAt?: number | undefined;
  retry: () => void;
}) {
  const known = T.problems[problem.code];
  // What is wrong with the question stands at its control, too.
  if (problem.faults.length) return <p class="fault">{problem.detail}</p>;
  return (
    <div class="trouble" role={againAt === undefined ? "alert" : undefined}>
      <p>
        <strong>
          {problem.status === 403 && problem.scope
            ? T.needsScope(problem.scope)
            : (known ?? problem.detail ?? T.failed)}
        </strong>
      </p>
      {known && problem.detail && problem.code !== NO_ANSWER && <p class="soft">{problem.detail}</p>}
      {againAt !== undefined && <Countdown until={againAt} />}
      {problem.requestId && (
        <p class="soft">
          {T.requestId} <code>{problem.requestId}</code>
        </p>
      )}
      {problem.status !== 401 && problem.status !== 403 && (
        <button type="button" onClick={retry}>
          {T.retry}
        </button>
      )}
    </div>
  );
}

function Skeleton() {
  const [isLong, put] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => put(true), 200);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class={isLong ? "skeleton" : "waiting"}>
      <span class="sr">{T.loading}</span>
    </div>
  );
}

/** What an answer that leaves out a store says of itself. */
export function Partial({ of }: { of: Covered | undefined }) {
  if (!of?.partial) return null;
  return (
    <p class="partial" role="status">
      {T.partial(of.missing ?? [])}
    </p>
  );
}

export function Panel<T>(props: PanelProps<T>) {
  const { of, title } = props;
  const { data, problem } = of ?? { data: undefined, problem: undefined };
  const covered = data as Covered | undefined;
  const nothing = data !== undefined && props.empty ? props.empty(data) : false;
  return (
    <Boundary title={title}>
      <section
        class={`panel ${props.class ?? ""}`}
        aria-busy={Boolean(of?.isBusy && (of.isStale || data === undefined))}
      >
        <header>
          <h2>{title}</h2>
          {props.chip && (
            <span class="chip" title={props.chipTitle ?? T.utcOnly}>
              {props.chip}
            </span>
          )}
          {of?.isStale && of.isBusy && <span class="soft updating">{T.updating}</span>}
          {covered?.asOf && (
            <span class="soft asof">
              {T.asOf} <time dateTime={covered.asOf}>{format.clock(Date.parse(covered.asOf), zoneOf())}</time>
            </span>
          )}
          <span class="tools">{props.tools}</span>
        </header>
        <Partial of={covered} />
        {problem && of && <Trouble problem={problem} againAt={of.againAt} retry={of.retry} />}
        {data === undefined && !problem && of && <Skeleton />}
        {data !== undefined && (
          <div class={of?.isStale ? "body stale" : "body"}>
            {nothing || <Boundary title={title}>{props.children?.(data)}</Boundary>}
          </div>
        )}
        {props.note && <div class="note soft">{props.note}</div>}
      </section>
    </Boundary>
  );
}
