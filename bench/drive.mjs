// Drive: the half of a driver that is the same for every Node peer; see drive.py.

import fs from "node:fs";
import readline from "node:readline";

export const QUEUE = "com.bench.work";
const FILLER = "The quick brown fox jumps over the lazy dog. ".repeat(6);
const SAY_MILLISECONDS = 10;

export const now = () => Number(process.hrtime.bigint()) / 1e9;

export function document(number, hop = 0, subject = undefined) {
  return {
    id: `bench-${number}-${hop}`,
    source: "com.bench.producer",
    specversion: "1.0",
    type: "com.bench.work",
    subject: subject ?? `bench-subject-${number}`,
    datacontenttype: "application/cloudevents+json;charset=UTF-8;profile=arvo",
    time: "2026-01-02T03:04:05.678+00:00",
    to: QUEUE,
    data: { number, hop, filler: FILLER },
  };
}

class Tally {
  constructor() {
    this.length = 0;
    this.pairs = new Float64Array(1 << 16);
  }

  add(number, time) {
    if (2 * this.length === this.pairs.length) {
      const longer = new Float64Array(2 * this.pairs.length);
      longer.set(this.pairs);
      this.pairs = longer;
    }
    this.pairs[2 * this.length] = number;
    this.pairs[2 * this.length + 1] = time;
    this.length += 1;
  }

  write(path) {
    fs.writeFileSync(path, Buffer.from(this.pairs.buffer, 0, 16 * this.length));
  }
}

class Job {
  constructor({ hops = 1, pause = 0, journal = null, failing = 0 }) {
    this.tally = new Tally();
    this.hops = hops;
    this.pause = pause;
    this.failing = failing;
    this.failed = new Set();
    this.journal = journal ? fs.openSync(journal, "a") : -1;
    this.saying = false;
  }

  async run(given) {
    const { number, hop } = given.data;
    if (this.pause) await new Promise((done) => setTimeout(done, 1000 * this.pause));
    if (this.failing && number % this.failing === 0 && !this.failed.has(number)) {
      this.failed.add(number);
      throw new Error("this one fails the first time");
    }
    const slot = number * this.hops + hop;
    const time = now();
    this.tally.add(slot, time);
    if (this.journal >= 0) {
      fs.writeSync(this.journal, Buffer.from(new Float64Array([slot, time]).buffer));
    }
    if (!this.saying) {
      this.saying = true;
      setTimeout(() => {
        this.saying = false;
        print({ count: this.tally.length });
      }, SAY_MILLISECONDS);
    }
    return hop + 1 < this.hops ? document(number, hop + 1, given.subject) : null;
  }
}

// One at a time, in order: what is written to a pipe may be split, never mixed.
const print = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

async function send(driver, command, opened) {
  const lanes = command.connections ?? 1;
  if (lanes > opened.lanes) {
    await driver.open(lanes);
    opened.lanes = lanes;
  }
  const sent = new Tally();
  const { first, count, batch, rate, seconds } = command;
  let next = first;
  const began = now();
  const produce = async (lane) => {
    while (next < first + count) {
      const start = next;
      if (seconds != null && now() - began >= seconds) return;
      next += batch;
      if (rate != null) {
        const wait = began + (start - first) / rate - now();
        if (wait > 0) await new Promise((done) => setTimeout(done, 1000 * wait));
      }
      const stop = Math.min(start + batch, first + count);
      const given = [];
      for (let number = start; number < stop; number++) given.push(document(number));
      const time = now();
      for (let number = start; number < stop; number++) sent.add(number, time);
      if (batch === 1) await driver.send(lane, given[0]);
      else await driver.sendMany(lane, given);
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, lane) => produce(lane)));
  const took = now() - began;
  if (command.tally) sent.write(command.tally);
  return { count: sent.length, seconds: took, began: sent.length ? sent.pairs[1] : began };
}

export async function main(Driver) {
  const driver = new Driver(process.argv[2], JSON.parse(process.argv[3]));
  const opened = { lanes: 0 };
  let job = null;
  const obey = async (command) => {
    switch (command.do) {
      case "ready":
        return {};
      case "setup":
        await driver.setup();
        return {};
      case "work":
        job = new Job(command);
        await driver.work(command.concurrency, job);
        return {};
      case "send":
        return send(driver, command, opened);
      case "stop":
        await driver.close();
        if (job && command.tally) job.tally.write(command.tally);
        return { count: job ? job.tally.length : 0 };
      default:
        throw new Error(`not known here: ${command.do}`);
    }
  };
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    let answer;
    try {
      answer = await obey(command);
    } catch (error) {
      answer = { error: `${error.name}: ${error.message}` };
    }
    print({ reply: answer });
    if (command.do === "stop") break;
  }
  process.exit(0);
}
