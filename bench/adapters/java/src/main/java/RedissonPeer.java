import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import org.redisson.Redisson;
import org.redisson.api.RLock;
import org.redisson.api.RedissonClient;
import org.redisson.config.Config;

/** Redisson's RLock as its users take it: lock() without a lease time, renewed by its watchdog. */
final class RedissonPeer {
    // After so many the time of a pair falls no further: HotSpot has compiled what there is.
    private static final int WARM_PAIRS = 40_000;
    // What only a waiter runs is compiled by these.
    private static final int WARM_WAITS = 2_000;

    private static final int TTL_MS = 10_000;

    public static void main(String[] arguments) throws Exception {
        Config config = new Config();
        // The TTL of a lock that the watchdog renews.
        config.setLockWatchdogTimeout(TTL_MS);
        config.useSingleServer().setAddress(arguments[0]);
        RedissonClient client = Redisson.create(config);

        Map<String, RLock> known = new ConcurrentHashMap<>();
        Function<String, RLock> described = name -> known.computeIfAbsent(name, client::getLock);
        Serve serve = new Serve(described);

        // Each of the two processes has a lock of its own to warm up with.
        String warm = "bench:redisson:warm:" + ProcessHandle.current().pid();
        serve.pairs(warm, WARM_PAIRS);
        Thread rival = new Thread(() -> serve.pairs(warm, WARM_WAITS));
        rival.start();
        serve.pairs(warm, WARM_WAITS);
        rival.join();
        // Each lock() leaves a timer behind that goes on for ever if anything is held when it
        // fires, a third of the TTL later. Those of the warm-up are not to weigh on what follows.
        Thread.sleep(TTL_MS / 3 + 500);

        serve.run();
        client.shutdown();
    }
}
