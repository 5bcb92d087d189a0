/** What the engine has to tell: warnings of Node by default, or whatever a listener makes of it. */

import { native } from "./binary.js";
import { InvalidArgumentError } from "./error.js";
import type { RecordParts } from "./native.js";

/** How grave a record is. */
export type LogLevel = "error" | "warn" | "info" | "debug" | "trace";

/** A line of fencelock's log. It never shows a password or an owner token. */
export interface LogRecord {
    /** How grave it is. */
    level: LogLevel;
    /** The text. */
    message: string;
    /** What the text is about, such as `{ lock: "orders" }`. */
    fields: Record<string, string>;
}

const LEVELS: LogLevel[] = ["error", "warn", "info", "debug", "trace"];

let listener: ((record: LogRecord) => void) | undefined;

/**
 * Has fencelock's log told to a function instead of `process.emitWarning`, which shows errors and warnings on standard
 * error: a lost lease, a renewal that failed, a lease that was thrown away.
 *
 * One environment of a process gets the log: that of the main thread, if it uses fencelock.
 *
 * @param listen Called with each record; `undefined` brings warnings back.
 * @param level The least grave that is told. Default `"warn"`.
 */
export function setLog(listen: ((record: LogRecord) => void) | undefined, level: LogLevel = "warn"): void {
    const rank = LEVELS.indexOf(level) + 1;
    if (rank === 0 || (listen !== undefined && typeof listen !== "function")) {
        throw new InvalidArgumentError(`setLog() takes a function, or undefined, and one of ${LEVELS.join(", ")}`);
    }
    listener = listen;
    native.Port.forwardLog(listen === undefined ? 2 : rank);
}

/** Tells a record. @internal */
export function record(parts: RecordParts): void {
    const fields = Object.fromEntries(parts.fields) as Record<string, string>;
    tell({ level: parts.level as LogLevel, message: parts.message, fields });
}

/** @internal */
export function tell(told: LogRecord): void {
    if (listener !== undefined) {
        listener(told);
        return;
    }
    const about = Object.entries(told.fields).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
    const text = about.length === 0 ? told.message : `${told.message} (${about.join(", ")})`;
    process.emitWarning(text, "FencelockWarning");
}

/** A warning of this layer's own. @internal */
export function warn(message: string, fields: Record<string, string> = {}): void {
    tell({ level: "warn", message, fields });
}
