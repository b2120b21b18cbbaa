// Records that wait, bounded, and cut into batches whose bytes never change.
//
// Each route has segments. A record joins the last one until that is full or sealed, and a cut turns the first one into
// a batch. Clicks and impressions without an id of their own are added up in a segment, by kind, banner and minute.

import { bytesOf, type Cell, COUNT_MAX, cellItem, type Entry, type Route } from "./records.js";

/** Bytes of a cell on the wire at most, and of a cell or the rest of a record in memory. */
const CELL_BYTES = 160;
const CELL_SIZE = 400;
const RECORD_SIZE = 64;

/** When a batch is cut, and how much may wait. */
export type Bounds = { batchItems: number; batchBytes: number; batchAgeS: number; maxItems: number; maxBytes: number };

/** A moment in seconds, by a clock that never steps, and by the wall clock. A laptop that sleeps stops the first. */
export type Instant = { mono: number; wall: number };

/** Items of one route in bytes that never change, so that a repeat is the same request. */
export class Batch {
  readonly body: string;
  readonly bytes: number;
  readonly weight: number;
  /** When it first reached a socket; nothing while no attempt can have been counted. */
  firstSent?: Instant;
  attempts = 0;
  /** The body as it travels compressed. */
  packed?: Uint8Array<ArrayBuffer>;

  /** `size` are the bytes that it takes up while it waits. */
  constructor(
    readonly route: Route,
    readonly serial: number,
    readonly items: string[],
    readonly weights: number[],
    readonly size = 0,
  ) {
    this.body = `[${items.join(",")}]`;
    this.bytes = bytesOf(this.body);
    this.weight = weights.reduce((sum, one) => sum + one, 0);
  }

  /** Return two batches with the same items. Ids stay, and so does the moment of the first attempt. */
  halves(): [Batch, Batch] {
    const middle = this.items.length >> 1;
    const size = this.size >> 1;
    const { route, serial, items, weights } = this;
    const one = new Batch(route, serial, items.slice(0, middle), weights.slice(0, middle), this.size - size);
    const other = new Batch(route, serial, items.slice(middle), weights.slice(middle), size);
    one.firstSent = other.firstSent = this.firstSent;
    return [one, other];
  }
}

class Segment {
  items: string[] = [];
  weights: number[] = [];
  cells = new Map<string, Cell>();
  bytes = 0;
  size = 0;
  isSealed = false;

  constructor(
    readonly serial: number,
    readonly firstAt: number,
  ) {}

  get count(): number {
    return this.items.length + this.cells.size;
  }
}

/** The segments and batches of one route. */
class Line {
  segments: Segment[] = [];
  /** By serial: how many batches of that segment are not settled, and when it began. */
  unsettled = new Map<number, { left: number; firstAt: number }>();
  weight = 0;
}

export class Queue {
  private lines = { clicks: new Line(), events: new Line() };
  private items = 0;
  private bytes = 0;
  private serial = 0;

  constructor(private bounds: Bounds) {}

  /** Take a record. Return nothing if it is full, and true if the next batch is due at another moment than before. */
  add(entry: Entry, now: Instant): boolean | undefined {
    const { cell, key = "", weight, body } = entry;
    const { bounds } = this;
    const line = this.lines[entry.route.name];
    let last = line.segments.at(-1);
    const found = cell && last?.cells.get(key);
    if (found && !last!.isSealed && found.count + weight <= COUNT_MAX) {
      found.count += weight;
      line.weight += weight;
      return false;
    }
    const size = cell ? CELL_SIZE : entry.size + RECORD_SIZE;
    if (this.items >= bounds.maxItems || this.bytes + size > bounds.maxBytes) return undefined;
    const length = cell ? CELL_BYTES : entry.size + 1;
    let isNews = !last;
    if (last && (last.isSealed || last.bytes + length > bounds.batchBytes || found)) {
      last.isSealed = isNews = true;
      last = undefined;
    }
    if (!last) {
      last = new Segment(++this.serial, now.mono);
      line.segments.push(last);
    }
    if (cell) last.cells.set(key, { ...cell });
    else {
      last.items.push(body);
      last.weights.push(weight);
    }
    if (last.count >= bounds.batchItems) last.isSealed = isNews = true;
    last.bytes += length;
    last.size += size;
    line.weight += weight;
    this.items++;
    this.bytes += size;
    return isNews;
  }

  /** Return when the next batch may be cut, by the clock that never steps; infinity without records. */
  due(route: Route): number {
    const [first] = this.lines[route.name].segments;
    return !first ? Infinity : first.isSealed ? 0 : first.firstAt + this.bounds.batchAgeS;
  }

  /** Return the first segment as a batch, if there is one. It counts as waiting until it is done. */
  cut(route: Route, offsetS: number): Batch | undefined {
    const line = this.lines[route.name];
    const segment = line.segments.shift();
    if (!segment) return undefined;
    const name = crypto.randomUUID();
    const cells = [...segment.cells.values()];
    const items = [...segment.items, ...cells.map((cell, n) => cellItem(cell, `${name}-${n}`, offsetS))];
    const weights = [...segment.weights, ...cells.map((cell) => cell.count)];
    line.unsettled.set(segment.serial, { left: 1, firstAt: segment.firstAt });
    return new Batch(route, segment.serial, items, weights, segment.size);
  }

  /** Return two batches in place of one. */
  split(batch: Batch): [Batch, Batch] {
    this.lines[batch.route.name].unsettled.get(batch.serial)!.left++;
    return batch.halves();
  }

  /** Forget a batch that is settled. */
  done(batch: Batch): void {
    const line = this.lines[batch.route.name];
    line.weight -= batch.weight;
    this.items -= batch.items.length;
    this.bytes -= batch.size;
    if (!--line.unsettled.get(batch.serial)!.left) line.unsettled.delete(batch.serial);
  }

  /** Let what is here be cut at once. Return the serial number of the last of it. */
  seal(route: Route): number {
    const last = this.lines[route.name].segments.at(-1);
    if (last) last.isSealed = true;
    return this.serial;
  }

  /** Return whether nothing waits of what was there when `seal` returned this number. */
  isSettled(route: Route, serial: number): boolean {
    const { segments, unsettled } = this.lines[route.name];
    return !(segments[0] && segments[0].serial <= serial) && [...unsettled.keys()].every((one) => one > serial);
  }

  /** Drop what was not cut. Return its weight. */
  drain(route: Route): number {
    const before = this.weight(route);
    for (let batch = this.cut(route, 0); batch; batch = this.cut(route, 0)) this.done(batch);
    return before - this.weight(route);
  }

  /** Return what waits, batches included. */
  weight(route: Route): number {
    return this.lines[route.name].weight;
  }

  /** Return when the oldest record came, by the clock that never steps; infinity without one. */
  oldest(route: Route): number {
    const { segments, unsettled } = this.lines[route.name];
    return Math.min(segments[0]?.firstAt ?? Infinity, ...[...unsettled.values()].map((one) => one.firstAt));
  }
}
