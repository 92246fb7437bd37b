/** The subject that starts a workflow: who it is for and which workflow it is, compressed into one text. */

import { randomUUID } from 'node:crypto';
import { deflateSync } from 'node:zlib';

export interface NewSubject {
  /** Type of the workflow's init event, such as `arvo.orc.order`. */
  readonly orchestrator: string;
  readonly version: string;
  /** Source that the completion shall go to. */
  readonly initiator: string;
  readonly domain?: string | null;
  readonly meta?: Readonly<Record<string, string>>;
}

/** Makes a new subject. Carry it verbatim from then on: made again, its bytes may differ. */
export function newSubject(given: NewSubject): string {
  const content = {
    orchestrator: { name: given.orchestrator, version: given.version },
    execution: { id: randomUUID(), initiator: given.initiator, domain: given.domain ?? null },
    meta: given.meta ?? {},
  };
  return deflateSync(JSON.stringify(content)).toString('base64');
}
