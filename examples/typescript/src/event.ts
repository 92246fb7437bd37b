/** ArvoEvent: one flat JSON object, in Arvo's order of keys. */

import { randomUUID } from 'node:crypto';

export type Json = string | number | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** The seventeen attributes of an event. */
export interface ArvoAttributes {
  readonly id: string;
  readonly source: string;
  readonly specversion: '1.0';
  readonly type: string;
  readonly subject: string;
  readonly datacontenttype: string;
  readonly dataschema: string | null;
  readonly data: JsonObject;
  readonly time: string;
  readonly to: string | null;
  readonly accesscontrol: string | null;
  readonly redirectto: string | null;
  readonly executionunits: number | null;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  readonly parentid: string | null;
  readonly domain: string | null;
}

/** An event as upstream's `toJSON()` gives it: the attributes, and extensions beside them. */
export interface ArvoEvent extends ArvoAttributes {
  readonly [extension: string]: Json;
}

export const ARVO_CONTENT_TYPE = 'application/cloudevents+json;charset=UTF-8;profile=arvo';

const CORE = ['id', 'source', 'specversion', 'type', 'subject', 'datacontenttype', 'dataschema', 'data', 'time'];
const ARVO = ['to', 'accesscontrol', 'redirectto', 'executionunits', 'traceparent', 'tracestate', 'parentid', 'domain'];
const NAMED = new Set([...CORE, ...ARVO]);

/**
 * Gives the event with its keys in Arvo's order: the core attributes, the extensions in their own order, Arvo's
 * attributes. What is missing is null. `jsonb` forgets the order of keys, so what comes out of the database passes here.
 */
export function inOrder(flat: JsonObject): ArvoEvent {
  const ordered: Record<string, Json> = {};
  for (const key of CORE) ordered[key] = flat[key] ?? null;
  for (const [key, value] of Object.entries(flat)) if (!NAMED.has(key)) ordered[key] = value;
  for (const key of ARVO) ordered[key] = flat[key] ?? null;
  ordered['specversion'] ??= '1.0';
  ordered['datacontenttype'] ??= ARVO_CONTENT_TYPE;
  return ordered as unknown as ArvoEvent;
}

export interface NewEvent extends Partial<ArvoAttributes> {
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly data: JsonObject;
}

/** Makes an event with Arvo's defaults. The rules are the database's to check: RV001 names the field and the rule. */
export function createArvoEvent(given: NewEvent, extensions: JsonObject = {}): ArvoEvent {
  return inOrder({
    ...extensions,
    time: new Date().toISOString().replace('Z', '+00:00'),
    ...given,
    id: given.id ?? randomUUID(),
    to: given.to ?? given.type,
  });
}
