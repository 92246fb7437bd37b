/** Connections that do not take the process with them when they are lost. */

import pg from 'pg';
import type { Contract } from './contract.js';
import { ArvoError } from './errors.js';

/** The newest migration that this client was written against, and the oldest that it needs. */
const REVISION = 3;

export interface ConnectOptions {
  readonly name: string;
  /** Milliseconds after which an answer is given up, and the connection with it. */
  readonly patience?: number;
}

/** Opens a connection in autocommit. */
export async function connect(connectionString: string, { name, patience }: ConnectOptions): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString,
    application_name: name,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5000,
    ...(patience === undefined ? {} : { query_timeout: patience }),
  });
  client.on('error', () => undefined); // the call under way, or the next one, fails with it
  await client.connect();
  return client;
}

/** Closes a connection, without waiting for a peer that is silent. */
export function close(client: pg.Client | null): void {
  client?.end().catch(() => undefined);
}

/** Refuses a database that is too old or too new for this client. */
export async function shakeHands(contract: Contract): Promise<void> {
  const { revision, oldest_client } = await contract.about();
  if (revision < REVISION) {
    throw new ArvoError('the database is older than this client', null, `it is at revision ${revision}`,
      'Run: arvo-plpg migrate');
  }
  if (oldest_client > REVISION) {
    throw new ArvoError('this client is older than the database allows', null,
      `this client is of revision ${REVISION}; the database serves clients from ${oldest_client} on`,
      'Use a newer client.');
  }
}

/** How long to wait before the next attempt to connect: exponential, with jitter. */
export class Backoff {
  private bound = 100;

  next(): number {
    const wait = this.bound * (0.1 + 0.9 * Math.random());
    this.bound = Math.min(this.bound * 2, 10_000);
    return wait;
  }

  reset(): void {
    this.bound = 100;
  }
}
