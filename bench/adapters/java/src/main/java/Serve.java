import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Function;
import org.redisson.api.RLock;

/** The adapter's side of the line protocol (bench/README.md), for Redisson's locks. */
final class Serve {
    private final Function<String, RLock> described;

    /** {@code described} gives the lock of a name, the same one each time. */
    Serve(Function<String, RLock> described) {
        this.described = described;
    }

    /** Answers the runner until it closes our standard input. */
    void run() throws IOException {
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            System.out.println(answer(line.strip().split(" ")));
        }
    }

    private String answer(String[] words) {
        switch (words[0]) {
            case "hello":
                // Waiters listen to a channel of the server, and do not poll.
                return "ok name=redisson ops=pair,handoff,flight poll_ms=0";
            case "pair":
                StringBuilder samples = new StringBuilder("ok");
                for (long nanos : pairs(words[1], Integer.parseInt(words[2]))) {
                    samples.append(' ').append(nanos);
                }
                return samples.toString();
            case "flight":
                int tasks = Integer.parseInt(words[2]);
                return "ok " + flight(words[1], tasks, Integer.parseInt(words[3]));
            case "hold":
                described.apply(words[1]).lock();
                return "ok";
            case "wait":
                RLock wanted = described.apply(words[1]);
                System.out.println("waiting");
                wanted.lock();
                return "ok " + now();
            case "free":
                RLock held = described.apply(words[1]);
                long start = now();
                held.unlock();
                return "ok " + start;
            default:
                return "err not understood: " + String.join(" ", words);
        }
    }

    /** How long each of so many pairs took. */
    long[] pairs(String name, int count) {
        RLock lock = described.apply(name);
        long[] samples = new long[count];
        for (int i = 0; i < count; i++) {
            long start = now();
            lock.lock();
            lock.unlock();
            samples[i] = now() - start;
        }
        return samples;
    }

    /** How long so many locks took at once, each so often. */
    private long flight(String name, int tasks, int sections) {
        RLock[] locks = new RLock[tasks];
        for (int i = 0; i < tasks; i++) {
            locks[i] = described.apply(name + ":" + i);
        }
        long start = now();
        CompletableFuture<?>[] running = new CompletableFuture<?>[tasks];
        for (int i = 0; i < tasks; i++) {
            running[i] = sections(locks[i], i, sections).toCompletableFuture();
        }
        CompletableFuture.allOf(running).join();
        return now() - start;
    }

    /** By its asynchronous calls, for which a number stands for the thread that owns the lock. */
    private static CompletionStage<Void> sections(RLock lock, long owner, int count) {
        if (count == 0) {
            return CompletableFuture.completedFuture(null);
        }
        return lock.lockAsync(owner)
                .thenCompose(locked -> lock.unlockAsync(owner))
                .thenCompose(unlocked -> sections(lock, owner, count - 1));
    }

    /** CLOCK_MONOTONIC: HotSpot's clock on Linux, and without an offset. */
    private static long now() {
        return System.nanoTime();
    }
}
