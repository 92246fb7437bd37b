/** Delivery: one claimed event, until it is settled; and the memory of the step that handles it. */

import type { Result, StateWrite } from './contract.js';
import { ArvoError, DeadlineExceeded, errorRecord } from './errors.js';
import type { ArvoEvent, JsonObject } from './event.js';
import type { Handler, Step } from './handler.js';
import type { MachineMemory, MemoryMetadata } from './memory.js';
import { parentOf, readable } from './memory.js';
import type { Token, Worked } from './rows.js';

export interface Known {
  readonly data: JsonObject;
  readonly version: Token;
}

export class Delivery {
  readonly lease: Token;
  readonly number: Token;
  readonly queue: string;
  readonly attempt: number;
  readonly key: Token | null;
  readonly event: ArvoEvent;
  /** The state that the step is built on: of the claim, or of the step before it in its run. */
  state: Known | null;
  written: StateWrite | null = null;
  private readonly expireIn: number;
  private readonly cause: JsonObject | null;
  private readonly controller = new AbortController();
  private began = performance.now();

  constructor(row: Extract<Worked, { kind: 'claimed' }>) {
    this.lease = row.lease;
    this.number = row.delivery;
    this.queue = row.queue;
    this.attempt = row.attempt;
    this.key = row.key;
    this.event = row.event;
    this.cause = row.cause;
    this.expireIn = row.expire_in;
    this.state = row.state === null ? null : { data: row.state, version: row.state_version ?? '0' };
  }

  /** Runs a handler within the deadline. Never throws: what goes wrong is the result. */
  async run(handler: Handler): Promise<Result> {
    this.began = performance.now();
    const memory = new StepMemory(this.event.subject, this.state);
    const step: Step = { attempt: this.attempt, cause: this.cause, signal: this.controller.signal, memory };
    const timer = setTimeout(() => this.abort(new DeadlineExceeded(
      `the handler ran longer than ${this.expireIn} seconds in queue ${this.queue}`)), this.expireIn * 1000);
    try {
      const aborted = new Promise<never>((_, reject) => {
        this.controller.signal.addEventListener('abort', () => reject(this.controller.signal.reason), { once: true });
      });
      const events = await Promise.race([handler.execute(this.event, step), aborted]);
      if (!Array.isArray(events)) throw new TypeError(`${handler.source} must return an array of events`);
      this.written = memory.heldBack();
      return sendable({
        ...this.result('completed'),
        ...(events.length === 0 ? {} : { events }),
        ...(this.written === null ? {} : { state: this.written }),
      });
    } catch (error) {
      return this.failed(error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Tells the handler to give up; its result does not count any more. */
  abort(reason: Error): void {
    this.controller.abort(reason);
  }

  failed(error: unknown): Result {
    return { ...this.result('failed'), error: errorRecord(error) };
  }

  /** Goes back to its queue, its attempt not charged. */
  released(): Result {
    return this.result('released');
  }

  private result(outcome: Result['outcome']): Result {
    const run_time = Math.round((performance.now() - this.began) * 1000);
    return { lease: this.lease, delivery: this.number, outcome, run_time };
  }
}

/** Refuses what JSON cannot say here, where it is the handler's fault, and not in the call that settles. */
function sendable(result: Result): Result {
  JSON.stringify(result);
  return result;
}

/** Read from the claim, written with the settlement: the step is one transaction. */
class StepMemory implements MachineMemory {
  private held: StateWrite | null = null;
  /** What `read` gave since the last write. */
  private given = new WeakSet<object>();

  constructor(private readonly subject: string, private readonly known: Known | null) {}

  async read(subject: string): Promise<JsonObject | null> {
    this.check(subject);
    const data = this.held?.data ?? this.known?.data ?? null;
    if (data === null) return null;
    const copy = structuredClone(data);
    this.given.add(copy);
    return copy;
  }

  async write(subject: string, data: JsonObject, previous: object | null, metadata?: MemoryMetadata): Promise<void> {
    this.check(subject);
    const stored = this.held ?? this.known;
    if ((stored === null) !== (previous === null) || (previous !== null && !this.given.has(previous))) {
      throw new ArvoError('version mismatch: the state has moved on', 'RV101',
        'the write is not based on what was read in this step', 'Write on top of what read() gave.');
    }
    this.held = {
      subject,
      data: JSON.parse(JSON.stringify(data)) as JsonObject,
      expected_version: this.known?.version ?? '0',
      parent_subject: parentOf(data, metadata),
      initiator: readable(metadata?.initiator),
      source: metadata?.source ?? null,
    };
    this.given = new WeakSet();
  }

  /** The delivery's lease covers its subject. */
  async lock(subject: string): Promise<boolean> {
    this.check(subject);
    return true;
  }

  async unlock(subject: string): Promise<boolean> {
    this.check(subject);
    return true;
  }

  /** A state must outlive the settlement of its last step; retention removes it. */
  async cleanup(subject: string): Promise<void> {
    this.check(subject);
  }

  heldBack(): StateWrite | null {
    return this.held;
  }

  private check(subject: string): void {
    if (subject !== this.subject) {
      throw new ArvoError('a step may only touch the state of its own subject', null, `asked for ${subject}`);
    }
  }
}
