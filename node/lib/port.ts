/**
 * How outcomes come from the engine: Node's loop watches one descriptor, and whatever has come is delivered in one call.
 * Only what is awaited keeps the process alive.
 */

import { native } from "./binary.js";
import { toError } from "./error.js";
import { record } from "./log.js";
import type { Failure, Lease, Port, RecordParts } from "./native.js";

interface Waiting {
    resolve(value: unknown): void;
    reject(reason: unknown): void;
}

const waiting = new Map<number, Waiting>();

function deliver(outcomes: unknown): void {
    for (const [number, failed, outcome] of outcomes as [number, boolean, unknown][]) {
        if (number === 0) {
            record(outcome as RecordParts);
            continue;
        }
        const waiter = waiting.get(number);
        waiting.delete(number);
        if (failed) {
            waiter?.reject(toError(outcome as Failure));
        } else {
            waiter?.resolve(outcome);
        }
    }
}

/** @internal */
export const port: Port = new native.Port(deliver);

// The end of a worker that is terminated is noticed by the engine itself.
process.on("exit", () => port.end());

/** What comes of an operation that was begun under this number. @internal */
export function outcome<T>(number: number): Promise<T> {
    return new Promise((resolve, reject) => {
        waiting.set(number, { resolve: resolve as (value: unknown) => void, reject });
    });
}

/** As `outcome`, until a signal aborts: then it is given up, and nothing is left behind. @internal */
export function outcomeUnless<T>(number: number, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
        const abort = () => {
            waiting.delete(number);
            port.cancel(number);
            reject(signal.reason);
        };
        const over = () => signal.removeEventListener("abort", abort);
        signal.addEventListener("abort", abort, { once: true });
        waiting.set(number, {
            resolve(value) {
                over();
                resolve(value as T);
            },
            reject(reason) {
                over();
                reject(reason);
            },
        });
    });
}

/** Calls back when a lease is lost, with the reason; not if it ends otherwise. @internal */
export function watch(lease: Lease, lost: (reason: string) => void): void {
    waiting.set(lease.beginWatch(), {
        resolve: (reason) => reason !== null && reason !== undefined && lost(reason as string),
        reject: () => undefined,
    });
}
