/** Machine memory: upstream's interface `IMachineMemory`, over the contract. */

import { AsyncLocalStorage } from 'node:async_hooks';
import type pg from 'pg';
import { Contract } from './contract.js';
import { ArvoError, isPassing } from './errors.js';
import type { JsonObject } from './event.js';
import type { Token } from './rows.js';

/** A value that upstream knows already, or not yet. */
export type Materializable = string | null | { readonly value?: unknown };

export interface MemoryMetadata {
  readonly subject: string;
  readonly parentSubject?: Materializable;
  readonly initiator?: Materializable;
  readonly source: string;
}

/** Upstream's interface; `write` may come without its fourth argument, as it did before 3.0.27. */
export interface MachineMemory {
  read(id: string): Promise<JsonObject | null>;
  write(id: string, data: JsonObject, prevData: object | null, metadata?: MemoryMetadata): Promise<void>;
  lock(id: string): Promise<boolean>;
  unlock(id: string): Promise<boolean>;
  cleanup(id: string): Promise<void>;
}

export interface MemoryConfig {
  readonly maxRetries?: number;
  readonly initialDelayMs?: number;
  readonly backoffExponent?: number;
  readonly ttlMs?: number;
  readonly enableCleanup?: boolean;
  readonly schema?: string;
}

/** The locks of one execution: their fencing tokens by subject. */
export class Execution {
  readonly tokens = new Map<string, Token>();
}

const READ_ATTEMPTS = 3;

/**
 * The memory of workflows, directly in the database.
 *
 * The interface passes no token, so the adapter keeps them: those of the execution that took the lock. Run each
 * execution of a handler in `execution()`, then its locks are its own among all that run in this process. Only the
 * holder's `unlock` removes a lock, and a write under a lock that was lost is refused (RV302).
 */
export class PostgresMachineMemory implements MachineMemory {
  private readonly executions = new AsyncLocalStorage<Execution>();
  private readonly outside = new Execution();
  /** Versions by the objects that `read` gave: nothing of ours shows in the data. */
  private readonly versions = new WeakMap<object, Token>();

  /** @param pool of `pg`; give it a listener: `pool.on('error', …)`, or a lost connection ends the process */
  constructor(private readonly pool: pg.Pool, private readonly config: MemoryConfig = {}) {}

  /** Runs a handler's execution with locks of its own. */
  execution<T>(run: () => Promise<T>, execution = new Execution()): Promise<T> {
    return this.executions.run(execution, run);
  }

  async read(id: string): Promise<JsonObject | null> {
    for (let attempt = 1; ; attempt++) {
      try {
        const state = await this.contract.readState(id);
        if (state === null) return null;
        this.versions.set(state.data, state.version);
        return state.data;
      } catch (error) {
        if (attempt === READ_ATTEMPTS || !isPassing(error)) throw error;
        await sleep(50 * 2 ** attempt);
      }
    }
  }

  async write(id: string, data: JsonObject, prevData: object | null, metadata?: MemoryMetadata): Promise<void> {
    const version = prevData === null ? '0' : this.versions.get(prevData);
    if (version === undefined) {
      throw new ArvoError('the previous state was not read from this memory', null, `subject ${id}`,
        'Pass the object that read() gave.');
    }
    const lock = this.tokens.get(id);
    await this.contract.writeState(id, data, {
      expected_version: version,
      parent_subject: parentOf(data, metadata),
      initiator: readable(metadata?.initiator),
      source: metadata?.source ?? null,
      ...(lock === undefined ? {} : { lock }),
    });
  }

  /** Tries to take the lock; false when it stays held by another. No connection is held while waiting. */
  async lock(id: string): Promise<boolean> {
    const { maxRetries = 3, initialDelayMs = 100, backoffExponent = 1.5, ttlMs = 120_000 } = this.config;
    for (let attempt = 0; ; attempt++) {
      const lock = await this.contract.acquireLock(id, ttlMs / 1000);
      if (lock !== null) {
        this.tokens.set(id, lock.token);
        return true;
      }
      if (attempt >= maxRetries) return false;
      await sleep(initialDelayMs * backoffExponent ** attempt);
    }
  }

  /** Gives the lock back; always true. Another holder's lock is never touched; one that stays lapses. */
  async unlock(id: string): Promise<boolean> {
    const token = this.tokens.get(id);
    this.tokens.delete(id);
    if (token !== undefined) await this.contract.releaseLock(id, token).catch(() => false);
    return true;
  }

  async cleanup(id: string): Promise<void> {
    if (this.config.enableCleanup) await this.contract.cleanupState(id);
  }

  async getSubjectsByRoot(root: string): Promise<string[]> {
    return this.contract.subjectsByRoot(root);
  }

  async getRootSubject(subject: string): Promise<string | null> {
    return this.contract.rootSubject(subject);
  }

  private get contract(): Contract {
    return new Contract(this.pool, this.config.schema);
  }

  private get tokens(): Map<string, Token> {
    return (this.executions.getStore() ?? this.outside).tokens;
  }
}

/** Gives the text of a value that is known, else null. */
export function readable(value: Materializable | undefined): string | null {
  const text = typeof value === 'object' ? value?.value : value;
  return typeof text === 'string' ? text : null;
}

/** The subject of the workflow that started this one, from the metadata, or from the state as before 3.0.27. */
export function parentOf(data: JsonObject, metadata: MemoryMetadata | undefined): string | null {
  const parent = data['parentSubject'];
  return readable(metadata?.parentSubject) ?? (typeof parent === 'string' ? parent : null);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
