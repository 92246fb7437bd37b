/**
 * Wake-up: the connection that listens for notifications. A hint, never the truth: the worker polls too.
 *
 * Where only sleepers are notified (the contract has `doze`), this session counts as asleep for as long as it lives. That
 * costs a notification for each transaction that brings something, and spares two calls around each rest.
 */

import type pg from 'pg';
import { Backoff, close, connect } from './connection.js';

export class Wakeup {
  private client: pg.Client | null = null;
  private readonly backoff = new Backoff();
  private timer: NodeJS.Timeout | null = null;
  private stopped = false;

  /**
   * @param connectionString a direct connection: a transaction pooler does not pass notifications on
   * @param queues what to be woken for
   * @param woken called with the name of a queue, and with an empty one whenever some may have been missed
   */
  constructor(
    private readonly connectionString: string,
    private readonly schema: string,
    private readonly queues: readonly string[],
    private readonly woken: (queue: string) => void,
  ) {}

  async start(): Promise<void> {
    try {
      const client = await connect(this.connectionString, { name: `${this.schema}-wakeup` });
      if (this.stopped) return close(client);
      this.client = client;
      client.on('notification', (notification) => this.woken(notification.payload ?? ''));
      client.on('end', () => { if (this.client === client) this.again(); });
      await client.query(`LISTEN "${this.schema}_wake"`);
      await client.query(`SELECT "${this.schema}_v1".doze($1)`, [this.queues]).catch(unlessAbsent);
      this.backoff.reset();
      this.woken('');
    } catch {
      this.again();
    }
  }

  stop(): void {
    this.stopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
    close(this.client);
  }

  private again(): void {
    if (this.stopped || this.timer !== null) return;
    close(this.client);
    this.client = null;
    this.timer = setTimeout(() => {
      this.timer = null;
      void this.start();
    }, this.backoff.next());
  }
}

/** A database of an earlier revision notifies everybody who listens. */
function unlessAbsent(error: unknown): void {
  if ((error as { code?: unknown }).code !== '42883') throw error;
}
