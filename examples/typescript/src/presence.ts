/** Presence: says that this process is there, and has the database keep its house, in a rhythm. */

import { close, connect } from './connection.js';
import { Contract } from './contract.js';

const SECONDS = 10;
const BEATS_TO_MAINTAIN = 6;

export class Presence {
  private timer: NodeJS.Timeout | null = null;
  private beats = 0;

  constructor(
    private readonly connectionString: string,
    private readonly schema: string,
    private readonly worker: string,
    private readonly queues: () => string[],
    private readonly warn: (message: string) => void,
  ) {}

  start(): void {
    void this.beat();
    this.timer = setInterval(() => void this.beat(), SECONDS * 1000 * (0.6 + 0.4 * Math.random()));
  }

  async stop(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    await this.calling((contract) => contract.checkOut(this.worker));
  }

  private async beat(): Promise<void> {
    await this.calling(async (contract) => {
      await contract.checkIn(this.worker, this.queues(), SECONDS);
      if (this.beats++ % BEATS_TO_MAINTAIN === 1) await contract.maintain();
    });
  }

  private async calling(call: (contract: Contract) => Promise<unknown>): Promise<void> {
    try {
      const client = await connect(this.connectionString, { name: this.schema, patience: 30_000 });
      try {
        await call(new Contract(client, this.schema));
      } finally {
        close(client);
      }
    } catch (error) {
      this.warn(`housekeeping failed: ${String(error)}`);
    }
  }
}
