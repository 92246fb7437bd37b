/** What the contract refuses, known by its SQLSTATE, never by its text. */

import pg from 'pg';

const NAMES: Readonly<Record<string, string>> = {
  RV001: 'InvalidEventError',
  RV002: 'InvalidOption',
  RV003: 'UnknownQueue',
  RV004: 'UnknownEvent',
  RV005: 'WrongIsolation',
  RV006: 'InvalidArgument',
  RV101: 'VersionConflict',
  RV102: 'RedrivesUsedUp',
  RV103: 'DeadLetterHeld',
  RV104: 'PlaceTaken',
  RV201: 'HandlerNotRegistered',
  RV301: 'LeaseLost',
  RV302: 'LockLost',
  RV303: 'OutOfOrder',
  RV901: 'InvariantBroken',
  RV902: 'ForeignCluster',
};

/** A refusal: constant message, facts, remedy, and the field it is about. */
export class ArvoError extends Error {
  constructor(
    message: string,
    readonly code: string | null = null,
    readonly detail: string | null = null,
    readonly hint: string | null = null,
    readonly field: string | null = null,
  ) {
    super(message);
    this.name = (code !== null && NAMES[code]) || 'ArvoError';
  }
}

/** A handler ran longer than its queue allows, and its signal was aborted. */
export class DeadlineExceeded extends Error {
  override name = 'DeadlineExceeded';
}

/** What jsonb and text cannot keep: NUL characters, and escapes that are no characters. */
const UNSTORABLE = new Set(['22P05', '22P02', '22021']);

/**
 * Gives our error for an SQLSTATE of class RV, any other error as it is.
 *
 * @param mistake the code of what was sent, if it cannot be stored: RV001 for an event, RV006 for anything else
 */
export function translate(error: unknown, mistake: 'RV001' | 'RV006'): unknown {
  if (error instanceof pg.DatabaseError && UNSTORABLE.has(error.code ?? '')) {
    return new ArvoError('a text cannot be stored', mistake, error.message, 'Remove NUL characters and lone surrogates.');
  }
  if (error instanceof pg.DatabaseError && error.code?.startsWith('RV')) {
    return new ArvoError(
      error.message, error.code, error.detail ?? null, error.hint ?? null, error.column ?? null,
    );
  }
  return error;
}

/** SQLSTATE classes of a server that goes, is full, or chose this transaction to be undone: try again later. */
const PASSING = /^(08|40|53|57|58)/;

/** Tells whether an error is of the connection or the server, so that another try may succeed. */
export function isPassing(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return PASSING.test(error.code ?? '');
  return !(error instanceof ArvoError);
}

/** Writes an error down as `settle` takes it. */
export function errorRecord(error: unknown): { name: string; message: string; stack: string | null } {
  const clean = (text: string, most: number) => text.replaceAll('\0', '\\0').toWellFormed().slice(0, most);
  if (error instanceof Error) {
    return {
      name: clean(error.name, 200),
      message: clean(error.message, 8192),
      stack: clean(error.stack ?? '', 32768) || null,
    };
  }
  return { name: 'Error', message: clean(String(error), 8192), stack: null };
}
