/** The TypeScript client as the conformance suite drives it; the protocol stands in conformance/README.md. */

import { createInterface } from 'node:readline';
import pg from 'pg';
import { ArvoError, Contract, Execution, PostgresMachineMemory, Worker, inOrder } from '../src/index.js';
import type { ArvoEvent, Handler, JsonObject, MemoryMetadata, Step } from '../src/index.js';

type Given = Record<string, any>;

interface Run {
  queue: string;
  id: string;
  attempt: number;
  ended: 'not yet' | 'returned' | 'raised' | 'cancelled';
}

/** Something that scripts wait for. */
class Gate {
  private open!: () => void;
  readonly opened = new Promise<void>((resolve) => { this.open = resolve; });

  set(): void {
    this.open();
  }
}

/** A handler that does what a script says. */
class Scripted implements Handler {
  readonly source: string;
  readonly stateful: boolean;

  constructor(private readonly given: Given, private readonly gate: (name: string) => Gate, private readonly runs: Run[]) {
    this.source = given['queue'];
    this.stateful = given['stateful'] ?? false;
  }

  async execute(event: ArvoEvent, step: Step): Promise<ArvoEvent[]> {
    const run: Run = { queue: this.source, id: event.id, attempt: step.attempt, ended: 'not yet' };
    this.runs.push(run);
    try {
      const events = await this.follow(event, step);
      run.ended = 'returned';
      return events;
    } catch (error) {
      run.ended = step.signal.aborted ? 'cancelled' : 'raised';
      throw error;
    }
  }

  private async follow(event: ArvoEvent, { attempt, signal, memory }: Step): Promise<ArvoEvent[]> {
    const emitted: ArvoEvent[] = [];
    const rules: Given[] = this.given['script'] ?? [];
    const rule = rules.find((one) => (one['attempt'] ?? attempt) === attempt && (one['id'] ?? event.id) === event.id);
    for (const action of (rule?.['do'] ?? []) as Given[]) {
      if (action['hold']) {
        await Promise.race([this.gate(action['hold']).opened, new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason), { once: true });
        })]);
      }
      if (action['remember']) {
        const state = await memory.read(event.subject);
        const seen = [...((state?.['seen'] as string[] | undefined) ?? []), event.id];
        await memory.write(event.subject, { seen }, state,
          { subject: event.subject, initiator: event.source, parentSubject: null, source: this.source });
      }
      for (const flat of (action['emit'] ?? []) as ArvoEvent[]) {
        emitted.push({ ...flat, id: flat.id.replace('{id}', event.id), subject: event.subject });
      }
      if (action['fail']) {
        throw Object.assign(new Error(action['fail'].message), { name: action['fail'].name });
      }
    }
    return emitted;
  }
}

class Driver {
  private dsn = '';
  private sessions = new Map<string, pg.Client>();
  private pool: pg.Pool | null = null;
  private adapter: PostgresMachineMemory | null = null;
  private executions = new Map<string, Execution>();
  private lastRead = new Map<string, JsonObject | null>();
  private workers = new Map<string, Worker>();
  private runs = new Map<string, Run[]>();
  private gates = new Map<string, Gate>();

  async answer(op: string, given: Given): Promise<unknown> {
    switch (op) {
      case 'connect':
        await this.disconnect();
        this.dsn = given['dsn'];
        return null;
      case 'disconnect':
        return this.disconnect();
      case 'begin': case 'commit': case 'rollback':
        await (await this.session(given['session'])).query(op);
        return null;
      case 'note':
        await (await this.session(given['session'])).query(
          'INSERT INTO public.conformance_note (note) VALUES ($1)', [given['text']]);
        return null;
      case 'call':
        return this.call(new Contract(await this.session(given['session'] ?? '')), given['function'], given['arguments']);
      case 'canonical':
        return JSON.stringify(inOrder(given['event']));
      case 'memory':
        return this.memory(given);
      case 'worker.start':
        return this.start(given);
      case 'worker.open':
        this.gate(given['gate']).set();
        return null;
      case 'worker.ran':
        return this.runs.get(given['name']);
      case 'worker.stop':
        await this.workers.get(given['name'])!.stop(given['grace']);
        this.workers.delete(given['name']);
        return null;
      default:
        throw new Error(`no such op: ${op}`);
    }
  }

  async disconnect(): Promise<null> {
    await Promise.all([...this.workers.values()].map((worker) => worker.stop(0)));
    await Promise.all([...this.sessions.values()].map((session) => session.end().catch(() => undefined)));
    await this.pool?.end();
    this.pool = this.adapter = null;
    for (const map of [this.workers, this.sessions, this.executions, this.lastRead, this.runs, this.gates]) map.clear();
    return null;
  }

  private call(contract: Contract, name: string, given: Given): Promise<unknown> {
    const { event, events, queues, results, subject, data, token, leases, queue, ...rest } = given;
    switch (name) {
      case 'about': return contract.about();
      case 'register_queue': return contract.registerQueue(queue, rest);
      case 'dispatch': return contract.dispatch(event, rest);
      case 'dispatch_many': return contract.dispatchMany(events, rest);
      case 'claim': return contract.claim(queues, rest);
      case 'settle': return contract.settle(results);
      case 'work': return contract.work(results ?? [], queues ?? null, rest);
      case 'extend': return contract.extend(leases, rest['for']);
      case 'read_state': return contract.readState(subject);
      case 'write_state': return contract.writeState(subject, data, rest);
      case 'acquire_lock': return contract.acquireLock(subject, rest['ttl']);
      case 'renew_lock': return contract.renewLock(subject, token, rest['ttl']);
      case 'release_lock': return contract.releaseLock(subject, token);
      case 'cleanup_state': return contract.cleanupState(subject);
      case 'root_subject': return contract.rootSubject(subject);
      case 'subjects_by_root': return contract.subjectsByRoot(rest['root']);
      case 'dead_letters': return contract.deadLetters(queue);
      case 'redrive': return contract.redrive({ ...(queue === undefined ? {} : { queue }), ...rest });
      case 'subscribe': return contract.subscribe(queue, rest['pattern']);
      case 'unsubscribe': return contract.unsubscribe(queue, rest['pattern']);
      case 'subscriptions': return contract.subscriptions({ ...(queue === undefined ? {} : { queue }), ...rest });
      case 'publish': return contract.publish(event, rest['options']);
      case 'schedule': {
        const { name: named, cron, ...options } = rest;
        return contract.schedule(named, cron, event, options);
      }
      case 'unschedule': {
        const { name: named, ...options } = rest;
        return contract.unschedule(named, options);
      }
      case 'schedules': return contract.schedules(rest['name']);
      default: throw new Error(`the client has no method for ${name}`);
    }
  }

  private async memory(given: Given): Promise<unknown> {
    if (this.adapter === null) {
      this.pool = new pg.Pool({ connectionString: this.dsn, max: 4 });
      this.pool.on('error', () => undefined);
      this.adapter = new PostgresMachineMemory(this.pool, { maxRetries: 1, initialDelayMs: 10, enableCleanup: true });
    }
    const memory = this.adapter;
    const { as, method, subject } = given;
    if (!this.executions.has(as)) this.executions.set(as, new Execution());
    return memory.execution(async () => {
      switch (method) {
        case 'read': {
          const data = await memory.read(subject);
          this.lastRead.set(`${as} ${subject}`, data);
          return data;
        }
        case 'write': {
          const previous = given['based_on'] === 'read' ? this.lastRead.get(`${as} ${subject}`) ?? null : null;
          const metadata: MemoryMetadata = {
            subject, parentSubject: given['parent'] ?? null, initiator: 'com.example.client', source: 'flow',
          };
          await memory.write(subject, given['data'], previous, metadata);
          return null;
        }
        case 'lock': return memory.lock(subject);
        case 'unlock': return memory.unlock(subject);
        case 'cleanup': return (await memory.cleanup(subject)) ?? null;
        default: throw new Error(`no such method: ${method}`);
      }
    }, this.executions.get(as)!);
  }

  private async start(given: Given): Promise<null> {
    const worker = new Worker({ connectionString: this.dsn, name: given['name'], lease: given['lease'] ?? 8 });
    const runs: Run[] = [];
    this.runs.set(given['name'], runs);
    for (const handler of given['handlers'] as Given[]) {
      worker.register(new Scripted(handler, (name) => this.gate(name), runs), {
        concurrency: handler['concurrency'] ?? 1, pollSeconds: handler['poll'] ?? 2,
      });
    }
    await worker.start();
    this.workers.set(given['name'], worker);
    return null;
  }

  private gate(name: string): Gate {
    const gate = this.gates.get(name) ?? new Gate();
    this.gates.set(name, gate);
    return gate;
  }

  private async session(name: string): Promise<pg.Client> {
    const known = this.sessions.get(name);
    if (known !== undefined) return known;
    const session = new pg.Client({ connectionString: this.dsn });
    session.on('error', () => this.sessions.delete(name));
    await session.connect();
    this.sessions.set(name, session);
    return session;
  }
}

function told(error: unknown): object {
  const code = error instanceof ArvoError || error instanceof pg.DatabaseError ? error.code ?? null : null;
  const field = error instanceof ArvoError ? error.field : null;
  return { code, field, message: String(error) };
}

const driver = new Driver();
for await (const line of createInterface({ input: process.stdin })) {
  const { id, op, ...given } = JSON.parse(line) as Given;
  let answer: object;
  try {
    answer = { id, ok: (await driver.answer(op, given)) ?? null };
  } catch (error) {
    answer = { id, error: told(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await driver.disconnect();
