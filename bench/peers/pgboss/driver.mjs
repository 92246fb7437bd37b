// Driver of pg-boss.

import { createRequire } from "node:module";
import { main } from "../../drive.mjs";

const require = createRequire(process.env.BENCH_MODULES + "/");
const { PgBoss } = require("pg-boss");
const QUEUE = "bench";

class PgBossDriver {
  constructor(dsn, settings) {
    this.dsn = dsn;
    this.settings = settings;
    this.boss = null;
  }

  async start(options) {
    if (this.boss) await this.boss.stop({ graceful: false });
    this.boss = new PgBoss({ connectionString: this.dsn, ...options });
    this.boss.on("error", (error) => console.error(error));
    await this.boss.start();
  }

  async setup() {
    await this.start({});
    await this.boss.createQueue(QUEUE, this.settings.notify ? { notify: true } : {});
  }

  async open(connections) {
    await this.start({ max: connections, supervise: false, schedule: false });
  }

  async send(lane, given) {
    await this.boss.send(QUEUE, given);
  }

  async sendMany(lane, given) {
    await this.boss.insert(QUEUE, given.map((data) => ({ data })));
  }

  async work(concurrency, job) {
    const { batchSize, burst, notify } = this.settings;
    await this.start(notify ? { useListenNotify: true } : {});
    const handle = async (claimed) => {
      const emitted = await job.run(claimed.data);
      if (emitted) await this.boss.send(QUEUE, emitted);
    };
    if (batchSize) {
      const options = { batchSize, burstWhenBatchFull: burst, perJobResults: true };
      await this.boss.work(QUEUE, options, async (claimed) => {
        await Promise.all(claimed.map(handle));
        return claimed.map(({ id }) => ({ id, status: "completed" }));
      });
    } else {
      await this.boss.work(QUEUE, { localConcurrency: concurrency }, async (claimed) => {
        for (const one of claimed) await handle(one);
      });
    }
  }

  async close() {
    if (this.boss) await this.boss.stop({ graceful: true, timeout: 5000 });
  }
}

await main(PgBossDriver);
