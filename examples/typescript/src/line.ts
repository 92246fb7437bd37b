/**
 * Line: claimed deliveries that are worked through in order.
 *
 * Most lines have one delivery. An ordered queue hands out several of one key at once: they run one after the other,
 * each from the state that the one before wrote. That is safe although nothing is stored yet: the database refuses the
 * result of each whose predecessor was not completed.
 */

import type { Result } from './contract.js';
import type { Delivery } from './delivery.js';
import type { Handler, HandlerOptions } from './handler.js';

/** A queue, and who runs its deliveries. */
export interface Route {
  readonly queue: string;
  readonly handler: Handler;
  readonly options: HandlerOptions;
  readonly concurrency: number;
  readonly pollMs: number;
}

export class Line {
  private readonly deliveries: Delivery[];
  /** Settled when all that it runs has ended. */
  ended: Promise<void> | null = null;

  constructor(readonly route: Route, first: Delivery) {
    this.deliveries = [first];
  }

  add(delivery: Delivery): void {
    this.deliveries.push(delivery);
  }

  /** The delivery whose turn it is. */
  get running(): Delivery {
    return this.deliveries[0]!;
  }

  /** Whether nothing follows a result: after one that is not completed, the database takes the rest back. */
  isLast(result: Result): boolean {
    return result.outcome !== 'completed' || this.deliveries.length === 1;
  }

  /** Works through it, once; `report` says whether the result still counts. */
  begin(report: (delivery: Delivery, result: Result) => boolean): void {
    this.ended ??= this.workThrough(report);
  }

  private async workThrough(report: (delivery: Delivery, result: Result) => boolean): Promise<void> {
    for (;;) {
      const delivery = this.running;
      const result = await delivery.run(this.route.handler);
      const last = this.isLast(result);
      if (!report(delivery, result) || last) return;
      this.deliveries.shift();
      const next = this.running;
      next.state = delivery.written === null ? delivery.state : {
        data: delivery.written.data,
        version: String(BigInt(delivery.written.expected_version) + 1n),
      };
    }
  }
}
