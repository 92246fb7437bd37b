/**
 * Worker: claims deliveries, runs them, settles their results.
 *
 * One loop owns the claiming connection. Each turn is one call of `work`: settle what has finished, claim as much as
 * there are free slots. Results that arrive while a call is on its way gather for the next one.
 */

import { hostname } from 'node:os';
import type pg from 'pg';
import { Backoff, close, connect, shakeHands } from './connection.js';
import { Contract } from './contract.js';
import type { Result } from './contract.js';
import { Delivery } from './delivery.js';
import { ArvoError, isPassing } from './errors.js';
import type { Handler, HandlerOptions } from './handler.js';
import { Heartbeat } from './heartbeat.js';
import { Line } from './line.js';
import type { Route } from './line.js';
import { Presence } from './presence.js';
import type { Extended, Token, Worked } from './rows.js';
import { Signal } from './signal.js';
import { Wakeup } from './wakeup.js';

const MOST_AT_ONCE = 1000;
const POSTPONE_MS = 2000;
const LONGEST_POSTPONE_MS = 30_000;
const SETTLE_MS = 10_000;
const LOCK_NOT_AVAILABLE = '55P03';

export interface WorkerOptions {
  readonly connectionString: string;
  /** What its leases are signed with; host and process id by default. */
  readonly name?: string;
  /** Seconds until a worker that has gone silent loses its deliveries; 8 by default. */
  readonly lease?: number;
  readonly schema?: string;
  /** Where to report; standard error by default. */
  readonly log?: (message: string) => void;
}

interface Report {
  readonly delivery: Delivery;
  readonly result: Result;
}

/** A result that waits for a lock which somebody else holds for long. */
interface Postponed {
  readonly report: Report;
  readonly due: number;
  readonly wait: number;
}

export class Worker {
  readonly name: string;
  private readonly connectionString: string;
  private readonly schema: string;
  private readonly lease: number;
  private readonly log: (message: string) => void;
  private readonly routes: Route[] = [];
  private readonly lines = new Set<Line>();
  private readonly signal = new Signal();
  private readonly backoff = new Backoff();
  private reports: Report[] = [];
  private sent: Report[] = [];
  private postponed: Postponed[] = [];
  private stopping = false;
  private gaveUp = false;
  private loop: Promise<void> | null = null;
  private helpers: { heartbeat: Heartbeat; wakeup: Wakeup; presence: Presence } | null = null;

  constructor(options: WorkerOptions) {
    this.connectionString = options.connectionString;
    this.name = options.name ?? `${hostname()}:${process.pid}`;
    this.schema = options.schema ?? 'arvo';
    this.lease = options.lease ?? 8;
    this.log = options.log ?? ((message) => console.error(message));
  }

  /** Adds a handler, before `start`. */
  register(handler: Handler, options: HandlerOptions = {}): void {
    if (this.loop !== null) throw new ArvoError('the worker has started already');
    if (this.routes.some((route) => route.queue === handler.source)) {
      throw new ArvoError(`a handler of ${handler.source} is registered already`);
    }
    this.routes.push({
      queue: handler.source, handler, options,
      concurrency: options.concurrency ?? 1, pollMs: (options.pollSeconds ?? 2) * 1000,
    });
  }

  /** Connects, registers the queues, and begins to work. */
  async start(): Promise<void> {
    const client = await connect(this.connectionString, { name: `${this.schema}-worker` });
    try {
      const contract = new Contract(client, this.schema);
      await shakeHands(contract);
      for (const { queue, handler, options } of this.routes) {
        if (queue.endsWith('*')) continue;
        await contract.registerQueue(queue, {
          worker: this.name, ...(handler.stateful ? { stateful: true } : {}), ...options.queue,
        });
      }
    } finally {
      close(client);
    }
    this.stopping = this.gaveUp = false;
    const warn = (message: string) => this.log(message);
    this.helpers = {
      heartbeat: new Heartbeat(this.connectionString, this.schema, this.lease,
        () => this.held(), (rows) => this.beaten(rows), warn),
      wakeup: new Wakeup(this.connectionString, this.schema, this.routes.map((route) => route.queue),
        (queue) => this.woken(queue)),
      presence: new Presence(this.connectionString, this.schema, this.name,
        () => this.routes.map((route) => route.queue), warn),
    };
    this.helpers.heartbeat.start();
    void this.helpers.wakeup.start();
    this.helpers.presence.start();
    this.loop = this.run();
  }

  /**
   * Claims nothing more, lets what runs finish, settles it, and ends. What still runs after so many seconds is told to
   * give up, and goes back to its queue, its attempt not charged.
   */
  async stop(grace = 30): Promise<void> {
    const { loop, helpers } = this;
    if (loop === null || helpers === null) return;
    this.stopping = true;
    this.signal.set();
    await within(grace * 1000, Promise.all([...this.lines].map((line) => line.ended)));
    for (const line of [...this.lines]) {
      this.abandon(line, new ArvoError('the worker has stopped'), line.running.released());
    }
    await within(SETTLE_MS, loop);
    this.gaveUp = true;
    this.signal.set();
    const left = this.reports.length + this.sent.length + this.postponed.length;
    if (left > 0) this.log(`stopped without settling ${left} results; their leases will lapse`);
    helpers.heartbeat.stop();
    helpers.wakeup.stop();
    await helpers.presence.stop();
    this.reports = this.sent = this.postponed = [];
    this.loop = this.helpers = null;
  }

  private async run(): Promise<void> {
    while (!this.finished()) {
      let client: pg.Client | null = null;
      try {
        client = await connect(this.connectionString, { name: `${this.schema}-worker`, patience: 60_000 });
        await this.serve(new Contract(client, this.schema));
      } catch (error) {
        const kept = this.reports.length + this.sent.length + this.postponed.length;
        this.log(`a call of the database failed (${String(error)}); ${kept} results are kept`);
        await new Promise((resolve) => setTimeout(resolve, Math.min(this.backoff.next(), this.stopping ? 500 : 60_000)));
      } finally {
        close(client);
      }
    }
  }

  private async serve(contract: Contract): Promise<void> {
    // Whether these were committed is not known. Sent again, one that was is "already".
    this.reports = [...this.sent, ...this.reports];
    this.sent = [];
    while (!this.finished()) {
      await this.settlePostponed(contract);
      this.signal.clear();
      const open = this.openRoutes();
      if (this.reports.length === 0 && open.length === 0) {
        await this.rest(null);
        continue;
      }
      this.sent = this.reports.splice(0, MOST_AT_ONCE);
      const answers = await this.work(contract, open);
      this.backoff.reset();
      const settled = this.sent;
      this.sent = [];
      this.judge(settled, answers);
      const claimed = answers.filter((row) => row.kind === 'claimed');
      this.begin(claimed);
      const emitted = settled.some((report) => report.result.events !== undefined);
      if (claimed.length === 0 && !emitted && this.reports.length === 0) {
        await this.rest(answers.find((row) => row.kind === 'idle')?.wait ?? null);
      }
    }
  }

  private async work(contract: Contract, open: { route: Route; free: number }[]): Promise<Worked[]> {
    try {
      return await contract.work(
        this.sent.map((report) => report.result),
        open.length === 0 ? null : open.map(({ route }) => route.queue),
        {
          limit: Math.min(open.reduce((sum, { free }) => sum + free, 0), MOST_AT_ONCE),
          ...(open.length === 0 ? {} : { limits: open.map(({ free }) => free) }),
          worker: this.name,
          lease: this.lease,
        },
      );
    } catch (error) {
      if (isPassing(error) || this.sent.length === 0) throw error;
      return this.oneByOne(contract, POSTPONE_MS);
    }
  }

  /** Settles each result by itself: the call with all of them was refused as a whole. */
  private async oneByOne(contract: Contract, wait: number): Promise<Worked[]> {
    const answers: Worked[] = [];
    for (const report of [...this.sent]) {
      try {
        answers.push(...(await contract.work([report.result], null)));
      } catch (error) {
        if (isPassing(error)) throw error;
        this.sent = this.sent.filter((other) => other !== report);
        if ((error as { code?: unknown }).code === LOCK_NOT_AVAILABLE) {
          this.postpone(report, wait);
          continue;
        }
        this.log(`${label(report.delivery)}: its result cannot be settled: ${String(error)}`);
        if (report.result.outcome === 'completed') {
          this.reports.push({ ...report, result: report.delivery.failed(error) });
        }
      }
    }
    return answers;
  }

  /** Tries again what waited for a lock; one at a time, so that the others are not held up. */
  private async settlePostponed(contract: Contract): Promise<void> {
    const first = this.postponed.find((item) => item.due <= Date.now());
    if (first === undefined) return;
    this.postponed = this.postponed.filter((item) => item !== first);
    this.sent = [first.report];
    const answers = await this.oneByOne(contract, Math.min(first.wait * 2, LONGEST_POSTPONE_MS));
    const settled = this.sent;
    this.sent = [];
    this.judge(settled, answers);
  }

  private postpone(report: Report, wait: number): void {
    this.log(`${label(report.delivery)}: its settlement waits for another; trying again in ${wait / 1000} s`);
    this.postponed.push({ report, due: Date.now() + wait, wait });
  }

  /** Takes note of what became of the results: those that have no verdict are completed. */
  private judge(settled: Report[], answers: Worked[]): void {
    const verdicts = new Map(answers.filter((row) => row.kind === 'settled')
      .map((row) => [`${row.lease}/${row.delivery}`, row]));
    for (const report of settled) {
      const { delivery, result } = report;
      const verdict = verdicts.get(`${delivery.lease}/${delivery.number}`);
      const code = verdict?.code ?? null;
      if ((code === 'RV001' || code === 'RV006') && result.outcome === 'completed') {
        // The handler emitted what the database cannot take: that is a failure of the handler.
        this.reports.push({ delivery, result: delivery.failed(new ArvoError(verdict?.detail ?? '', code)) });
      } else if (code === 'RV303') {
        this.postpone(report, POSTPONE_MS); // what comes before it waits for a lock: this one is to follow
      } else if (code !== null) {
        this.log(`${label(delivery)}: ${verdict?.outcome}: ${verdict?.detail}`);
      }
    }
  }

  /** Runs what was claimed: the deliveries of one ordered key one after the other, the others side by side. */
  private begin(claimed: Extract<Worked, { kind: 'claimed' }>[]): void {
    const runs = new Map<string, Line>();
    for (const row of claimed) {
      const delivery = new Delivery(row);
      const route = this.routeOf(row.queue);
      if (route === undefined || this.stopping) {
        this.reports.push({ delivery, result: delivery.released() });
        continue;
      }
      const run = row.key === null ? undefined : runs.get(`${row.lease}/${row.key}`);
      if (run !== undefined) {
        run.add(delivery);
        continue;
      }
      const line = new Line(route, delivery);
      if (row.key !== null) runs.set(`${row.lease}/${row.key}`, line);
      this.lines.add(line);
    }
    for (const line of this.lines) {
      line.begin((done, result) => this.reported(line, done, result));
    }
  }

  /** Takes a result; false when it does not count any more. */
  private reported(line: Line, delivery: Delivery, result: Result): boolean {
    if (!this.lines.has(line)) return false;
    if (result.error !== undefined) {
      this.log(`${label(delivery)} failed: ${result.error.name}: ${result.error.message}`);
    }
    if (line.isLast(result)) this.lines.delete(line);
    this.reports.push({ delivery, result });
    this.signal.set();
    return true;
  }

  /** Has a handler give up. A result for it, if there is one, sends the rest of its run back, too. */
  private abandon(line: Line, reason: Error, result: Result | null): void {
    if (!this.lines.delete(line)) return;
    line.running.abort(reason);
    if (result !== null) this.reports.push({ delivery: line.running, result });
    this.signal.set();
  }

  private openRoutes(): { route: Route; free: number }[] {
    if (this.stopping) return [];
    return this.routes
      .map((route) => ({
        route, free: route.concurrency - [...this.lines].filter((line) => line.route === route).length,
      }))
      .filter(({ free }) => free > 0);
  }

  private routeOf(queue: string): Route | undefined {
    return this.routes.find((route) => route.queue === queue)
      ?? this.routes.find((route) => route.queue.endsWith('*') && queue.startsWith(route.queue.slice(0, -1)));
  }

  /** Sleeps until something happens, something is due, or it is time to poll. */
  private async rest(seconds: number | null): Promise<void> {
    let longest = Math.min(...this.routes.map((route) => route.pollMs), LONGEST_POSTPONE_MS * 10)
      * (0.8 + 0.2 * Math.random());
    if (seconds !== null) longest = Math.min(longest, Math.max(seconds * 1000, 5));
    for (const { due } of this.postponed) longest = Math.min(longest, Math.max(due - Date.now(), 5));
    await this.signal.wait(longest);
  }

  /** The leases of all that is not settled: running, or with a result that waits. */
  private held(): Token[] {
    const unsettled = [...this.sent, ...this.reports, ...this.postponed.map((item) => item.report)];
    return [...new Set([
      ...[...this.lines].map((line) => line.running.lease),
      ...unsettled.map((report) => report.delivery.lease),
    ])];
  }

  /** Ends what runs under a lease without being held any more. */
  private beaten(rows: Extended[]): void {
    for (const { lease, deliveries } of rows) {
      for (const line of [...this.lines]) {
        if (line.running.lease === lease && !(deliveries ?? []).includes(line.running.number)) {
          this.log(`${label(line.running)}: its lease is lost`);
          this.abandon(line, new ArvoError('the lease is lost', 'RV301'), null);
        }
      }
    }
  }

  private woken(queue: string): void {
    if (queue === '' || this.routeOf(queue) !== undefined) this.signal.set();
  }

  private finished(): boolean {
    const unsettled = this.reports.length + this.sent.length + this.postponed.length;
    return this.gaveUp || (this.stopping && this.lines.size === 0 && unsettled === 0);
  }
}

function label(delivery: Delivery): string {
  return `event ${delivery.event.id} in ${delivery.queue}, attempt ${delivery.attempt}`;
}

async function within(milliseconds: number, done: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([done, new Promise((resolve) => { timer = setTimeout(resolve, milliseconds); })]);
  clearTimeout(timer);
}
