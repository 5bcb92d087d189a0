// Only compiled: what the types must allow, and what they must refuse.

import {
    AcquireTimeoutError,
    type Client,
    connect,
    DistributedLock,
    FencelockError,
    type Inspection,
    type Lease,
    LockLostError,
    type LossReason,
} from "fencelock";

/** Fails to compile unless the two are the same type. */
function same<A>() {
    return <B,>(_value: B, ..._difference: [A] extends [B] ? ([B] extends [A] ? [] : [never]) : [never]) => undefined;
}

export async function types(): Promise<void> {
    const client = await connect("redis://localhost:6379/0", { prefix: "a:", connectTimeout: 5 });
    same<Client>()(client);
    const lock = client.lock("a", { ttl: 10_000, renew: true, maxHold: 5, label: "x" });
    const lease = await lock.acquire({ timeout: 5, signal: new AbortController().signal });
    same<Lease>()(lease);
    same<number>()(lease.fence);
    same<boolean>()(lease.isHeld());
    same<number>()(lease.remaining());
    same<AbortSignal>()(lease.signal);
    same<LossReason | null>()(lease.lostReason());
    same<Lease | null>()(await lock.tryAcquire());
    same<string>()(await lock.using(() => "a"));
    same<number>()(await lock.using({ timeout: 5 }, async ({ fence }) => fence));
    same<Inspection>()(await client.inspect("a"));
    same<true>()(await new DistributedLock("a", { url: "redis://b", ttl: 5, timeout: 5 }).acquire());
    await using scoped = await lock.acquire();
    await using own: Client = await connect();
    void [scoped, own];
    const error: FencelockError = new LockLostError("a", { reason: "expired", lock: "a" });
    if (error instanceof LockLostError) {
        same<LossReason>()(error.reason);
    }
    const code: "ERR_FENCELOCK_ACQUIRE_TIMEOUT" = new AcquireTimeoutError("a").code;
    void code;
    // Left out is as good as undefined, also for who is strict about it.
    client.lock("a", { ttl: undefined });
    await lock.acquire({ timeout: undefined, signal: undefined });

    // @ts-expect-error -- the wait's limit is no option of the lock
    client.lock("a", { timeout: 5 });
    // @ts-expect-error -- nor the TTL one of the wait
    await lock.acquire({ ttl: 5 });
    // @ts-expect-error -- a duration is a number of ms
    client.lock("a", { ttl: "10s" });
    // @ts-expect-error -- options are an object
    await lock.acquire(5000);
    // @ts-expect-error -- a fence is not to be changed
    lease.fence = 5;
    // @ts-expect-error -- tryAcquire may give null
    (await lock.tryAcquire()).release();
    // @ts-expect-error -- using needs a function
    await lock.using({ timeout: 5 });
    // @ts-expect-error -- options come second
    await connect({ prefix: "a" });
    // @ts-expect-error -- the base is not to be made
    new FencelockError("a");
}
