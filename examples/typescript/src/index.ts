/** The front door. */

export { Contract } from './contract.js';
export type {
  ClaimOptions, DispatchOptions, Queryable, QueueOptions, Result, StateWrite, WriteOptions,
} from './contract.js';
export { ArvoError, DeadlineExceeded } from './errors.js';
export { ARVO_CONTENT_TYPE, createArvoEvent, inOrder } from './event.js';
export type { ArvoEvent, Json, JsonObject, NewEvent } from './event.js';
export type { Handler, HandlerOptions, Step } from './handler.js';
export { Execution, PostgresMachineMemory } from './memory.js';
export type { MachineMemory, Materializable, MemoryConfig, MemoryMetadata } from './memory.js';
export { newSubject } from './subject.js';
export { Worker } from './worker.js';
export type { WorkerOptions } from './worker.js';
