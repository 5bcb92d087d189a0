import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;
import java.util.function.IntFunction;
import java.util.stream.LongStream;
import org.redisson.Redisson;
import org.redisson.api.RFuture;
import org.redisson.api.RLock;
import org.redisson.api.RedissonClient;
import org.redisson.config.Config;

/** Redisson's RLock as its users take it: lock() without a lease time, renewed by its watchdog. */
final class RedissonPeer implements AutoCloseable {
    private static final long TTL_MS = 10_000;
    // After so many a pair's processor time falls no further: HotSpot has compiled what there is.
    private static final int WARM_PAIRS = 20_000;
    // What only a waiter runs is compiled by these.
    private static final int WARM_WAITS = 1_000;
    private static final int AT_ONCE = 1000;

    private final String url;
    private RedissonClient client;
    private final Map<String, RLock> known = new HashMap<>();
    private RLock[] kept = {};

    RedissonPeer(String url) {
        this.url = url;
        connect(TTL_MS);
    }

    private void connect(long ttlMs) {
        Config config = new Config();
        // The TTL of a lock that the watchdog renews.
        config.setLockWatchdogTimeout(ttlMs);
        // Its 3 s would end a process that others keep from the core, as while all warm up.
        config.useSingleServer().setAddress(url).setTimeout(60_000);
        client = Redisson.create(config);
    }

    @Override
    public void close() {
        client.shutdown();
    }

    private RLock described(String name) {
        return known.computeIfAbsent(name, client::getLock);
    }

    void warm(String name) throws InterruptedException {
        // Each process has a lock of its own to warm up with.
        RLock lock = client.getLock(name + ":" + ProcessHandle.current().pid());
        pairs(lock, WARM_PAIRS);
        Thread rival = new Thread(() -> pairs(lock, WARM_WAITS));
        rival.start();
        pairs(lock, WARM_WAITS);
        rival.join();
        // Each lock() leaves a timer behind that goes on for ever if anything is held when it
        // fires, a third of the TTL later. Those of the warm-up are not to weigh on what follows.
        Thread.sleep(TTL_MS / 3 + 500);
    }

    long[] pairs(String name, int count) {
        return pairs(described(name), count);
    }

    private static long[] pairs(RLock lock, int count) {
        long[] samples = new long[count];
        for (int i = 0; i < count; i++) {
            long start = now();
            lock.lock();
            lock.unlock();
            samples[i] = now() - start;
        }
        return samples;
    }

    long cycles(String name, long count) {
        RLock lock = described(name);
        long start = now();
        for (long i = 0; i < count; i++) {
            lock.lock();
            lock.unlock();
        }
        return now() - start;
    }

    /** Acquires and keeps; when lock had returned. */
    long hold(String name) {
        described(name).lock();
        return now();
    }

    /** Releases; when unlock was about to be called. */
    long free(String name) {
        RLock held = described(name);
        long start = now();
        held.unlock();
        return start;
    }

    /** Of each section when lock was called, when it had returned, and when unlock was called. */
    long[] loop(String name, long until, long holdNanos) {
        RLock lock = described(name);
        LongStream.Builder moments = LongStream.builder();
        for (long requested = now(); requested < until; requested = now()) {
            lock.lock();
            long acquired = now();
            long end = acquired + holdNanos;
            for (long left = holdNanos; left > 0; left = end - now()) {
                LockSupport.parkNanos(left);
            }
            moments.add(requested).add(acquired).add(now());
            lock.unlock();
        }
        return moments.build().toArray();
    }

    // What follows goes by its asynchronous calls, for which a number stands for the thread that
    // owns the lock.

    /** So many waiters of one lock, each for one section; the moments as those of loop. */
    long[] crowd(String name, int waiters, Runnable sayWaiting) {
        RLock lock = described(name);
        long[] moments = new long[3 * waiters];
        CompletableFuture<?>[] running = started(waiters, i -> {
            moments[3 * i] = now();
            return lock.lockAsync(i).thenCompose(locked -> {
                moments[3 * i + 1] = moments[3 * i + 2] = now();
                return lock.unlockAsync(i);
            });
        });
        sayWaiting.run();
        CompletableFuture.allOf(running).join();
        return moments;
    }

    /** How long so many locks took at once, each so often. */
    long flight(String name, int tasks, int sections) {
        RLock[] locks = new RLock[tasks];
        Arrays.setAll(locks, i -> described(name + ":" + i));
        long start = now();
        CompletableFuture.allOf(started(tasks, i -> sections(locks[i], i, sections))).join();
        return now() - start;
    }

    private static CompletionStage<Void> sections(RLock lock, long owner, int count) {
        if (count == 0) {
            return CompletableFuture.completedFuture(null);
        }
        return lock.lockAsync(owner)
                .thenCompose(locked -> lock.unlockAsync(owner))
                .thenCompose(unlocked -> sections(lock, owner, count - 1));
    }

    private static CompletableFuture<?>[] started(int tasks, IntFunction<CompletionStage<?>> task) {
        CompletableFuture<?>[] running = new CompletableFuture<?>[tasks];
        Arrays.setAll(running, i -> task.apply(i).toCompletableFuture());
        return running;
    }

    /** Takes so many locks, which the watchdog renews until {@link #kept} is called. */
    void keep(String name, int leases, long ttlMs) {
        // The watchdog's time belongs to the client: another one takes its place.
        client.shutdown();
        known.clear();
        connect(ttlMs);
        kept = new RLock[leases];
        Arrays.setAll(kept, i -> client.getLock(name + ":" + i));
        long owner = Thread.currentThread().getId();
        inParts(kept, lock -> lock.lockAsync(owner));
    }

    /** After so many ms: that time and the processor time in it in ns, and how many were lost. */
    long[] kept(long ms) throws InterruptedException {
        var process = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
        long start = now();
        long busy = process.getProcessCpuTime();
        Thread.sleep(ms);
        long wall = now() - start;
        busy = process.getProcessCpuTime() - busy;
        long owner = Thread.currentThread().getId();
        return new long[] {wall, busy, inParts(kept, lock -> lock.unlockAsync(owner))};
    }

    /** How many of the calls were refused because the lock was lost. */
    private static long inParts(RLock[] locks, Function<RLock, RFuture<Void>> call) {
        long lost = 0;
        for (int first = 0; first < locks.length; first += AT_ONCE) {
            RLock[] part = Arrays.copyOfRange(locks, first, Math.min(first + AT_ONCE, locks.length));
            for (RFuture<Void> one : Arrays.stream(part).map(call).toList()) {
                try {
                    one.toCompletableFuture().join();
                } catch (CompletionException failure) {
                    if (!(failure.getCause() instanceof IllegalMonitorStateException)) {
                        throw failure;
                    }
                    lost++;
                }
            }
        }
        return lost;
    }

    /** CLOCK_MONOTONIC: HotSpot's clock on Linux, and without an offset. */
    private static long now() {
        return System.nanoTime();
    }
}
