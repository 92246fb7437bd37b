/** Handlers: what users write. */

import type { ArvoEvent, JsonObject } from './event.js';
import type { MachineMemory } from './memory.js';
import type { QueueOptions } from './contract.js';

/** What a handler is told besides its event. */
export interface Step {
  readonly attempt: number;
  /** Why the event is delivered again, if it is. */
  readonly cause: JsonObject | null;
  /** Aborted when the deadline has passed, the lease is lost, or the worker has stopped: give up then. */
  readonly signal: AbortSignal;
  /** Stateful handlers: the state of the event's subject; a write takes effect with the events returned. */
  readonly memory: MachineMemory;
}

/** Anything that turns one event into others. What it throws is a failed attempt. */
export interface Handler {
  /** The routing key: events whose `to` is this text. A trailing `*` stands for all queues that begin so. */
  readonly source: string;
  /** Whether it needs the state of the event's subject. */
  readonly stateful?: boolean;
  execute(event: ArvoEvent, step: Step): Promise<readonly ArvoEvent[]>;
}

export interface HandlerOptions {
  /** How many run at a time in this process; 1 by default. */
  readonly concurrency?: number;
  /** Seconds between two looks when nothing wakes the worker; 2 by default. */
  readonly pollSeconds?: number;
  /** Stored with the queue, for all processes. What is left out stays as it is. */
  readonly queue?: QueueOptions;
}
