/**
 * One half of a workflow whose other half is in Python: serves `com.calculator.product`, starts a workflow of its own,
 * and prints each event that it sees, as JSON. Ends when its input ends.
 */

import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { Contract, Worker, createArvoEvent, newSubject } from '../src/index.js';
import type { ArvoEvent, Handler } from '../src/index.js';

const CLIENT = 'com.example.typescript';
const WORKFLOW = 'arvo.orc.workflow.average';
const connectionString = process.argv[2]!;

/** Answers as every Arvo handler does: in the same subject, to who asked, with the question's id as parent. */
class Product implements Handler {
  readonly source = 'com.calculator.product';

  async execute(event: ArvoEvent): Promise<ArvoEvent[]> {
    console.log(JSON.stringify(event));
    const numbers = event.data['numbers'] as number[];
    return [createArvoEvent({
      source: this.source,
      type: 'evt.calculator.product.success',
      subject: event.subject,
      dataschema: '#/org/amas/calculator/product/1.0.0',
      data: { result: numbers.reduce((product, number) => product * number, 1) },
      to: event.redirectto ?? event.source,
      accesscontrol: event.accesscontrol,
      executionunits: numbers.length,
      traceparent: event.traceparent,
      tracestate: event.tracestate,
      parentid: event.id,
    })];
  }
}

/** The completion of what was started here. */
class Completion implements Handler {
  readonly source = CLIENT;

  async execute(event: ArvoEvent): Promise<ArvoEvent[]> {
    console.log(JSON.stringify(event));
    return [];
  }
}

/** Starts a workflow in a transaction of the application's own. */
async function order(numbers: number[]): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query('BEGIN');
  await client.query('CREATE TABLE IF NOT EXISTS public.average_order (id text PRIMARY KEY, numbers jsonb)');
  const id = randomUUID();
  await client.query('INSERT INTO public.average_order VALUES ($1, $2)', [id, JSON.stringify(numbers)]);
  await new Contract(client).dispatch(createArvoEvent({
    id,
    source: CLIENT,
    type: WORKFLOW,
    subject: newSubject({ orchestrator: WORKFLOW, version: '1.0.0', initiator: CLIENT }),
    dataschema: '#/org/amas/calculator/average/1.0.0',
    data: { parentSubject$$: null, numbers },
  }));
  await client.query('COMMIT');
  await client.end();
}

const worker = new Worker({ connectionString, name: 'typescript' });
worker.register(new Product(), { concurrency: 4 });
worker.register(new Completion());
await worker.start();
await order([1, 2, 3, 4]);
process.stdin.resume();
await new Promise((resolve) => process.stdin.once('end', resolve));
await worker.stop(5);
