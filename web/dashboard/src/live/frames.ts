/** Frames of `GET /stats/live`, and how they meet the history. */

export interface Frame {
  readonly event: string;
  readonly id: string;
  readonly data: string;
}

/** Read a stream of events. Bytes may come cut anywhere; a frame is one when its blank line is there. */
export class Parser {
  #rest = "";
  #event = "";
  #id = "";
  #data: string[] = [];

  feed(text: string): Frame[] {
    const found: Frame[] = [];
    this.#rest += text;
    for (;;) {
      const end = this.#rest.search(/\r\n|\n|\r(?!$)/);
      if (end < 0) return found;
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + (this.#rest.startsWith("\r\n", end) ? 2 : 1));
      if (line === "") {
        if (this.#data.length)
          found.push({ event: this.#event || "message", id: this.#id, data: this.#data.join("\n") });
        this.#event = "";
        this.#data = [];
      } else if (!line.startsWith(":")) this.#field(line);
    }
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#event = value;
    else if (name === "id") this.#id = value;
    else if (name === "data") this.#data.push(value);
  }
}

export interface Bucket {
  readonly timestamp: string;
  readonly count: number;
  readonly final: boolean;
}

/** One bucket as two sources have it. An open count never falls; a final one is what was sent last. */
export function newer(one: Bucket | undefined, other: Bucket): Bucket {
  if (!one) return other;
  if (other.final) return other;
  if (one.final) return one;
  return other.count >= one.count ? other : one;
}

/** What a frame says of one banner: `[banner, [[timestamp, count, isFinal], ...]]`. */
export type Sent = readonly [number, readonly (readonly [string, number, boolean])[]];

/** Buckets by banner and begin, as the stream has sent them. */
export class Buckets {
  readonly #of = new Map<number, Map<string, Bucket>>();

  take(sent: readonly Sent[]): void {
    for (const [banner, buckets] of sent) {
      const known = this.#of.get(banner) ?? new Map<string, Bucket>();
      this.#of.set(banner, known);
      for (const [timestamp, count, final] of buckets) {
        known.set(timestamp, newer(known.get(timestamp), { timestamp, count, final }));
      }
    }
  }

  /** The history with what the stream knows better, in whatever order the two came. */
  merged(banner: number, history: readonly Bucket[]): Bucket[] {
    const known = this.#of.get(banner);
    if (!known?.size) return [...history];
    const byTime = new Map(history.map((bucket) => [bucket.timestamp, bucket]));
    const last = history.at(-1)?.timestamp ?? "";
    const first = history[0]?.timestamp ?? "";
    for (const [timestamp, bucket] of known) {
      const there = byTime.get(timestamp);
      // A final bucket of the history is as good as one of the stream, and may be newer.
      if (there)
        byTime.set(
          timestamp,
          there.final && bucket.final ? there : newer(bucket.final ? there : bucket, bucket.final ? bucket : there),
        );
      else if (timestamp > last || (timestamp >= first && bucket.count > 0)) byTime.set(timestamp, bucket);
    }
    return [...byTime.values()].sort((a, b) => (a.timestamp < b.timestamp ? -1 : 1));
  }

  /** The newest bucket of a banner. */
  latest(banner: number): Bucket | undefined {
    let best: Bucket | undefined;
    for (const bucket of this.#of.get(banner)?.values() ?? []) {
      if (!best || bucket.timestamp > best.timestamp) best = bucket;
    }
    return best;
  }

  /** Forget what is final and older than the latest few: the history has it. */
  trim(before: string): void {
    for (const known of this.#of.values()) {
      for (const [timestamp, bucket] of known) if (bucket.final && timestamp < before) known.delete(timestamp);
    }
  }

  clear(): void {
    this.#of.clear();
  }
}
