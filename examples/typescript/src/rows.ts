/** The rows that the contract answers, with the columns that this client knows. Durations are seconds. */

import type { ArvoEvent, JsonObject } from './event.js';

/** A bigint of the database: the text of its digits. It is not to be calculated with. */
export type Token = string;

export interface About {
  contract: number;
  revision: number;
  oldest_client: number;
  installation: string;
  system_identifier: string;
}

export interface Queue {
  queue: string;
  change: string;
  registered: boolean;
  stateful: boolean;
  policy: string;
  retry_limit: number;
  retry_delay: number;
  expire_in: number;
}

export interface Dispatched {
  ordinal: number;
  event_id: string;
  delivery: Token | null;
  queue: string;
  outcome: string;
}

export interface Claimed {
  lease: Token;
  delivery: Token;
  queue: string;
  attempt: number;
  expires_at: Date;
  expire_in: number;
  event: ArvoEvent;
  cause: JsonObject | null;
  state: JsonObject | null;
  state_version: Token | null;
  key: Token | null;
}

export interface Settled {
  ordinal: number;
  lease: Token | null;
  delivery: Token | null;
  accepted: boolean;
  outcome: string;
  code: string | null;
  detail: string | null;
  state_version: Token | null;
}

interface Verdict {
  kind: 'settled';
  lease: Token | null;
  delivery: Token | null;
  outcome: string;
  code: string | null;
  detail: string | null;
}

interface Handed extends Omit<Claimed, 'expires_at'> {
  kind: 'claimed';
}

interface Idle {
  kind: 'idle';
  /** Seconds until something is due; null when nothing is in sight. */
  wait: number | null;
}

export type Worked = Verdict | Handed | Idle;

export interface Extended {
  lease: Token;
  held: boolean;
  expires_at: Date | null;
  deliveries: Token[] | null;
}

export interface State {
  subject: string;
  version: Token;
  data: JsonObject;
  execution_status: string;
  parent_subject: string | null;
  initiator: string | null;
  source: string | null;
}

export interface Lock {
  subject: string;
  token: Token;
  expires_at: Date;
}

export interface DeadLetter {
  dead: Token;
  delivery: Token;
  queue: string;
  event_id: string;
  event: ArvoEvent;
  attempts: number;
  reason: string;
  error: JsonObject | null;
}

export interface Redriven {
  dead: Token;
  event_id: string;
  delivery: Token | null;
  queue: string;
  outcome: string;
  code: string | null;
  detail: string | null;
}

export interface Subscription {
  queue: string;
  pattern: string;
}

export interface Schedule {
  name: string;
  key: string;
  change: string | null;
  cron: string;
  time_zone: string;
  next_at: Date | null;
  last_at: Date | null;
  last_outcome: string | null;
  fires: Token;
  paused_at: Date | null;
  error: JsonObject | null;
}

export type Row =
  | About | Queue | Dispatched | Claimed | Settled | Worked | Extended | State | Lock | DeadLetter | Redriven
  | Subscription | Schedule;

type Kind = 'as it is' | 'seconds';

function plain(...columns: string[]): Record<string, Kind> {
  return Object.fromEntries(columns.map((column) => [column, 'as it is']));
}

const DISPATCHED = plain('ordinal', 'event_id', 'delivery', 'queue', 'outcome');

const SCHEDULE = plain(
  'name', 'key', 'change', 'cron', 'time_zone', 'next_at', 'last_at', 'last_outcome', 'fires', 'paused_at', 'error');

/** For each function that answers rows, the columns to ask for. */
export const ROWS = {
  subscriptions: plain('queue', 'pattern'),
  publish: DISPATCHED,
  schedule: SCHEDULE,
  unschedule: SCHEDULE,
  schedules: SCHEDULE,
  about: plain('contract', 'revision', 'oldest_client', 'installation', 'system_identifier'),
  register_queue: {
    ...plain('queue', 'change', 'registered', 'stateful', 'policy', 'retry_limit'),
    retry_delay: 'seconds', expire_in: 'seconds',
  },
  dispatch: DISPATCHED,
  dispatch_many: DISPATCHED,
  claim: {
    ...plain('lease', 'delivery', 'queue', 'attempt', 'expires_at', 'event', 'cause', 'state', 'state_version', 'key'),
    expire_in: 'seconds',
  },
  settle: plain('ordinal', 'lease', 'delivery', 'accepted', 'outcome', 'code', 'detail', 'state_version'),
  work: {
    ...plain('kind', 'lease', 'delivery', 'outcome', 'code', 'detail', 'queue', 'attempt', 'event', 'cause', 'state',
      'state_version', 'key'),
    expire_in: 'seconds', wait: 'seconds',
  },
  extend: plain('lease', 'held', 'expires_at', 'deliveries'),
  read_state: plain('subject', 'version', 'data', 'execution_status', 'parent_subject', 'initiator', 'source'),
  acquire_lock: plain('subject', 'token', 'expires_at'),
  dead_letters: plain('dead', 'delivery', 'queue', 'event_id', 'event', 'attempts', 'reason', 'error'),
  redrive: plain('dead', 'event_id', 'delivery', 'queue', 'outcome', 'code', 'detail'),
} satisfies Record<string, Record<string, Kind>>;
