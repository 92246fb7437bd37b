/** The contract `arvo_v1`: one method for each function that a client needs, on a connection that somebody else owns. */

import { ArvoError, translate } from './errors.js';
import { inOrder } from './event.js';
import type { ArvoEvent, JsonObject } from './event.js';
import { ROWS } from './rows.js';
import type {
  About, Claimed, DeadLetter, Dispatched, Extended, Lock, Queue, Redriven, Row, Schedule, Settled, State, Subscription,
  Token, Worked,
} from './rows.js';

/** A connection of `pg`: a Client, or what a Pool lends. Calls join the transaction it is in. */
export interface Queryable {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

export interface DispatchOptions {
  /** Seconds before which it is not delivered. */
  readonly start_after?: number;
  readonly priority?: number;
  /** Whether it goes to its `to` although it has a domain. */
  readonly ignore_domain?: boolean;
  /** Further options: `singleton_key`, `retry_limit`, `must_be_registered`, … */
  readonly options?: JsonObject;
}

/** Options of a queue, as `register_queue` names them; durations in seconds. */
export interface QueueOptions {
  readonly stateful?: boolean;
  readonly priority?: number;
  readonly retry_limit?: number;
  readonly retry_delay?: number;
  readonly retry_backoff?: boolean;
  readonly retry_delay_max?: number;
  readonly expire_in?: number;
  readonly dead_letter?: string;
  readonly policy?: 'standard' | 'short' | 'singleton' | 'stately' | 'exclusive' | 'ordered';
  readonly key_from?: string;
  readonly on_failure?: 'block' | 'step_aside';
  readonly max_active?: number;
  readonly key_max_active?: number;
  readonly error_rules?: JsonObject;
  readonly reset?: readonly string[];
  readonly worker?: string;
}

export interface ClaimOptions {
  readonly limit?: number;
  readonly worker?: string;
  /** At most so many of each queue, in the order of the queues. */
  readonly limits?: readonly number[];
  /** Seconds until the lease lapses unless extended. */
  readonly lease?: number;
}

/** What became of a delivery, as `settle` takes it. */
export interface Result {
  readonly lease: Token;
  readonly delivery: Token;
  readonly outcome: 'completed' | 'failed' | 'released' | 'snoozed' | 'rejected';
  readonly events?: readonly ArvoEvent[];
  readonly state?: StateWrite;
  readonly error?: { name: string; message: string; stack: string | null };
  readonly after?: number;
  readonly run_time?: number;
}

export interface StateWrite {
  readonly subject: string;
  readonly data: JsonObject;
  readonly expected_version: Token;
  readonly parent_subject: string | null;
  readonly initiator: string | null;
  readonly source: string | null;
}

export interface WriteOptions {
  readonly expected_version?: Token;
  readonly parent_subject?: string | null;
  readonly initiator?: string | null;
  readonly source?: string | null;
  readonly lock?: Token;
}

/** How a schedule fires. */
export interface ScheduleOptions {
  /** Several schedules of one name are told apart by it. */
  readonly key?: string;
  readonly time_zone?: string;
  /** Which of the fires that were missed are made up for. */
  readonly missed?: 'one' | 'skip' | 'all';
  readonly missed_limit?: number;
  /** Seconds after which a fire counts as missed. */
  readonly grace?: number;
  readonly gap?: 'shift' | 'skip';
  readonly overlap?: 'first' | 'second' | 'both';
  /** Of its dispatches. */
  readonly options?: JsonObject;
}

/** Types of arguments that are not texts, booleans or numbers. */
const KINDS: Readonly<Record<string, string>> = {
  data: 'jsonb', details: 'jsonb', edit: 'jsonb', error_rules: 'jsonb', event: 'jsonb', events: 'jsonb',
  options: 'jsonb', results: 'jsonb',
  expire_in: 'interval', for: 'interval', grace: 'interval', key_rate_period: 'interval', lease: 'interval', rate_period: 'interval',
  retention: 'interval', delete_after: 'interval', deduplicate_for: 'interval', singleton_for: 'interval',
  retry_delay: 'interval', retry_delay_max: 'interval', start_after: 'interval', ttl: 'interval', rhythm: 'interval',
};

export class Contract {
  /** @param schema name of the installation */
  constructor(private readonly connection: Queryable, private readonly schema = 'arvo') {}

  async about(): Promise<About> {
    return this.one('about', {});
  }

  async registerQueue(queue: string, options: QueueOptions = {}): Promise<Queue> {
    return this.one('register_queue', { queue, ...options });
  }

  /** Accepts an event in the connection's transaction: it exists if and when that commits. */
  async dispatch(event: ArvoEvent, options: DispatchOptions = {}): Promise<Dispatched> {
    return this.one('dispatch', { event, ...options });
  }

  async dispatchMany(events: readonly ArvoEvent[], options: DispatchOptions = {}): Promise<Dispatched[]> {
    return this.rows('dispatch_many', { events, ...options });
  }

  async claim(queues: readonly string[], options: ClaimOptions = {}): Promise<Claimed[]> {
    return this.rows('claim', { queues, ...options });
  }

  async settle(results: readonly Result[]): Promise<Settled[]> {
    return this.rows('settle', { results });
  }

  async work(
    results: readonly Result[], queues: readonly string[] | null, options: ClaimOptions = {},
  ): Promise<Worked[]> {
    return this.rows('work', { results, queues, ...options });
  }

  async extend(leases: readonly Token[], seconds?: number): Promise<Extended[]> {
    return this.rows('extend', { leases, for: seconds });
  }

  async readState(subject: string): Promise<State | null> {
    return (await this.rows<'read_state', State>('read_state', { subject }))[0] ?? null;
  }

  async writeState(subject: string, data: JsonObject, options: WriteOptions = {}): Promise<Token> {
    return (await this.values<Token>('write_state', { subject, data, ...options }))[0]!;
  }

  async acquireLock(subject: string, ttl?: number): Promise<Lock | null> {
    return (await this.rows<'acquire_lock', Lock>('acquire_lock', { subject, ttl }))[0] ?? null;
  }

  async renewLock(subject: string, token: Token, ttl?: number): Promise<boolean> {
    return (await this.values<boolean>('renew_lock', { subject, token, ttl }))[0]!;
  }

  async releaseLock(subject: string, token: Token): Promise<boolean> {
    return (await this.values<boolean>('release_lock', { subject, token }))[0]!;
  }

  async cleanupState(subject: string): Promise<boolean> {
    return (await this.values<boolean>('cleanup_state', { subject }))[0]!;
  }

  async rootSubject(subject: string): Promise<string | null> {
    return (await this.values<string | null>('root_subject', { subject }))[0]!;
  }

  async subjectsByRoot(root: string): Promise<string[]> {
    return this.values('subjects_by_root', { root });
  }

  async deadLetters(queue: string): Promise<DeadLetter[]> {
    return this.rows('dead_letters', { queue });
  }

  async redrive(filter: { queue?: string; dead?: readonly Token[]; limit?: number }): Promise<Redriven[]> {
    return this.rows('redrive', { ...filter });
  }

  /** Lets a queue have published events whose type matches; says whether that is new. */
  async subscribe(queue: string, pattern: string): Promise<boolean> {
    return (await this.values<boolean>('subscribe', { queue, pattern }))[0]!;
  }

  /** Ends a subscription of a queue, or all of them; says how many there were. */
  async unsubscribe(queue: string, pattern?: string): Promise<number> {
    return (await this.values<number>('unsubscribe', { queue, pattern }))[0]!;
  }

  async subscriptions(filter: { queue?: string; type?: string } = {}): Promise<Subscription[]> {
    return this.rows('subscriptions', filter);
  }

  /** Delivers an event to every queue that subscribes to its type: one row for each copy. */
  async publish(event: ArvoEvent, options?: JsonObject): Promise<Dispatched[]> {
    return this.rows('publish', { event, options });
  }

  /** Has an event (without id and time) dispatched by the clock. */
  async schedule(name: string, cron: string, event: JsonObject, options: ScheduleOptions = {}): Promise<Schedule> {
    return this.one('schedule', { name, cron, event, ...options });
  }

  async unschedule(name: string, options: { key?: string; dry_run?: boolean } = {}): Promise<Schedule[]> {
    return this.rows('unschedule', { name, ...options });
  }

  async schedules(name?: string): Promise<Schedule[]> {
    return this.rows('schedules', { name });
  }

  async checkIn(worker: string, queues: readonly string[], rhythm: number): Promise<boolean> {
    return (await this.values<boolean>('check_in', { worker, queues, rhythm }))[0]!;
  }

  async checkOut(worker: string): Promise<boolean> {
    return (await this.values<boolean>('check_out', { worker }))[0]!;
  }

  /** Partitions, retention, expiry: to be called now and then, in a transaction of its own. */
  async maintain(): Promise<void> {
    await this.values('maintain', {});
  }

  private async one<F extends keyof typeof ROWS, R extends Row>(name: F, given: object): Promise<R> {
    const [row] = await this.rows<F, R>(name, given);
    if (row === undefined) throw new ArvoError(`${name} has answered no row`);
    return row;
  }

  private async rows<F extends keyof typeof ROWS, R extends Row>(name: F, given: object): Promise<R[]> {
    // Only the columns that we know are asked for: row types may grow.
    const columns = Object.entries(ROWS[name]).map(([column, kind]) =>
      kind === 'seconds' ? `extract(epoch FROM "${column}")::float8 AS "${column}"` : `"${column}"`);
    const found = await this.query<R>(`SELECT ${columns.join(', ')} FROM`, name, given, '');
    return found.map((row) => {
      const event = (row as { event?: JsonObject | null }).event;
      return event ? { ...row, event: inOrder(event) } : row;
    });
  }

  private async values<T>(name: string, given: object): Promise<T[]> {
    const found = await this.query<{ value: T }>('SELECT', name, given, ' AS value');
    return found.map((row) => row.value);
  }

  private async query<T>(select: string, name: string, given: object, end: string): Promise<T[]> {
    const named: string[] = [];
    const values: unknown[] = [];
    for (const [key, value] of Object.entries(given)) {
      if (value === undefined || value === null) continue; // left to its default
      const kind = KINDS[key];
      values.push(kind === 'jsonb' ? JSON.stringify(value) : kind === 'interval' ? `${value} seconds` : value);
      named.push(`"p_${key}" => $${values.length}${kind ? `::${kind}` : ''}`);
    }
    const text = `${select} "${this.schema}_v1"."${name}"(${named.join(', ')})${end}`;
    try {
      return (await this.connection.query(text, values)).rows as T[];
    } catch (error) {
      throw translate(error, name.startsWith('dispatch') || name === 'publish' ? 'RV001' : 'RV006');
    }
  }
}
