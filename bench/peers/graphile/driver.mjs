// Driver of Graphile Worker.

import { createRequire } from "node:module";
import { main } from "../../drive.mjs";

const require = createRequire(process.env.BENCH_MODULES + "/");
const { Logger, makeWorkerUtils, run, runMigrations } = require("graphile-worker");
const TASK = "work";
const logger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error(message);
});

class GraphileDriver {
  constructor(dsn, settings) {
    this.dsn = dsn;
    this.settings = settings;
  }

  async setup() {
    await runMigrations({ connectionString: this.dsn, logger });
  }

  async open(connections) {
    if (this.utils) await this.utils.release();
    const options = { connectionString: this.dsn, maxPoolSize: connections, logger };
    this.utils = await makeWorkerUtils(options);
  }

  async send(lane, given) {
    await this.utils.addJob(TASK, given);
  }

  async sendMany(lane, given) {
    await this.utils.addJobs(given.map((payload) => ({ identifier: TASK, payload })));
  }

  async work(concurrency, job) {
    const { localQueue, completeJobBatchDelay, failJobBatchDelay } = this.settings;
    const worker = { connectionString: this.dsn, concurrentJobs: concurrency, logger };
    if (localQueue) {
      Object.assign(worker, {
        localQueue: { size: localQueue },
        completeJobBatchDelay,
        failJobBatchDelay,
      });
    }
    this.runner = await run({
      preset: { worker },
      noHandleSignals: true,
      taskList: {
        [TASK]: async (payload, helpers) => {
          const emitted = await job.run(payload);
          if (emitted) await helpers.addJob(TASK, emitted);
        },
      },
    });
  }

  async close() {
    if (this.runner) await this.runner.stop();
    if (this.utils) await this.utils.release();
  }
}

await main(GraphileDriver);
