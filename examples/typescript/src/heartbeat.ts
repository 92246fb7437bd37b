/** Heartbeat: extends the leases of what is not settled yet, four times in a lease, on a connection of its own. */

import type pg from 'pg';
import { close, connect } from './connection.js';
import { Contract } from './contract.js';
import type { Extended, Token } from './rows.js';

export class Heartbeat {
  private client: pg.Client | null = null;
  private timer: NodeJS.Timeout | null = null;
  private beating = false;

  constructor(
    private readonly connectionString: string,
    private readonly schema: string,
    private readonly lease: number,
    private readonly leases: () => Token[],
    private readonly answered: (rows: Extended[]) => void,
    private readonly warn: (message: string) => void,
  ) {}

  start(): void {
    this.timer = setInterval(() => void this.beat(), this.lease * 250);
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    close(this.client);
    this.client = null;
  }

  private async beat(): Promise<void> {
    const held = this.leases();
    if (held.length === 0 || this.beating) return;
    this.beating = true;
    try {
      this.client ??= await connect(this.connectionString, {
        name: `${this.schema}-heartbeat`, patience: Math.max(2000, this.lease * 500),
      });
      this.answered(await new Contract(this.client, this.schema).extend(held, this.lease));
    } catch (error) {
      this.warn(`heartbeat failed (${String(error)}); trying again`);
      close(this.client);
      this.client = null;
    } finally {
      this.beating = false;
    }
  }
}
