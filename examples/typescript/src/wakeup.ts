/** Wake-up: the connection that listens for notifications. A hint, never the truth: the worker polls too. */

import type pg from 'pg';
import { Backoff, close, connect } from './connection.js';

export class Wakeup {
  private client: pg.Client | null = null;
  private readonly backoff = new Backoff();
  private timer: NodeJS.Timeout | null = null;
  private stopped = false;

  /**
   * @param connectionString a direct connection: a transaction pooler does not pass notifications on
   * @param woken called with the name of a queue, and with an empty one whenever some may have been missed
   */
  constructor(
    private readonly connectionString: string,
    private readonly schema: string,
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
