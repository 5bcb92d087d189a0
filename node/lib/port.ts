/**
 * How outcomes come from the engine: Node's loop watches one descriptor, and whatever has come is delivered in one call, most of it
 * as numbers in an array that both sides have: a value made for each would cost more than the lock does.
 * Only what is awaited keeps the process alive.
 */

import { native } from "./binary.js";
import { toError } from "./error.js";
import { record } from "./log.js";
import type { Failure, Port, RecordParts } from "./native.js";

/** Makes a value of an outcome: whether a lease was granted, its number and its fence. */
type Make<T> = (granted: number, lease: number, fence: number) => T;

/** Who waits for an operation. */
interface Waiting {
    resolve(value: unknown): void;
    reject(reason: unknown): void;
    /** Makes a value of what came as numbers; without it there is none. */
    make?: Make<unknown> | undefined;
}

/** So many outcomes are delivered at once at most, of four numbers each. */
const AT_ONCE = 256;
const EACH = 4;

const numbers = new Float64Array(AT_ONCE * EACH);
const waiting = new Map<number, Waiting>();

function take(number: number): Waiting | undefined {
    const waiter = waiting.get(number);
    waiting.delete(number);
    return waiter;
}

function deliver(count: number, others: unknown[] | null): void {
    for (let at = 0; at < count * EACH; at += EACH) {
        const number = numbers[at] as number;
        const granted = numbers[at + 1] as number;
        const lease = numbers[at + 2] as number;
        const fence = numbers[at + 3] as number;
        const waiter = take(number);
        waiter?.resolve(waiter.make?.(granted, lease, fence));
    }
    for (const [number, failed, outcome] of (others ?? []) as [number, boolean, unknown][]) {
        if (number === 0) {
            record(outcome as RecordParts);
        } else if (failed) {
            take(number)?.reject(toError(outcome as Failure));
        } else {
            take(number)?.resolve(outcome);
        }
    }
}

/** @internal */
export const port: Port = new native.Port(numbers, deliver);

// The end of a worker that is terminated is noticed by the engine itself.
process.on("exit", () => port.end());

/**
 * What comes of an operation that was begun under this number.
 *
 * @param make Makes a value of what came as numbers: here, where it is sure that somebody gets it.
 * @internal
 */
export function outcome<T>(number: number, make?: Make<T>): Promise<T> {
    return new Promise((resolve, reject) => {
        waiting.set(number, { resolve: resolve as (value: unknown) => void, reject, make });
    });
}

/** As `outcome`, until a signal aborts: then it is given up, and nothing is left behind. @internal */
export function outcomeUnless<T>(number: number, signal: AbortSignal, make: Make<T>): Promise<T> {
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
            make,
        });
    });
}

/** Calls back when a lease is lost, with the reason; not if it ends otherwise. @internal */
export function watch(lease: number, lost: (reason: string) => void): void {
    waiting.set(port.beginWatch(lease), {
        resolve: (reason) => reason !== null && reason !== undefined && lost(reason as string),
        reject: () => undefined,
    });
}
