import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Arrays;
import java.util.stream.Collectors;

/** The adapter's side of the line protocol (bench/README.md). */
public final class Serve {
    private final RedissonPeer peer;

    private Serve(RedissonPeer peer) {
        this.peer = peer;
    }

    /** The server's URL is the only argument. */
    public static void main(String[] arguments) throws Exception {
        // Closed after an error, too: its threads would go on, and the runner wait for an answer.
        try (RedissonPeer peer = new RedissonPeer(arguments[0])) {
            new Serve(peer).run();
        }
    }

    /** Answers the runner until it closes our standard input. */
    private void run() throws Exception {
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            System.out.println(answer(line.strip().split(" ")));
        }
    }

    private String answer(String[] words) throws Exception {
        long[] numbers = Arrays.stream(words).skip(2).mapToLong(Long::parseLong).toArray();
        switch (words[0]) {
            case "hello":
                // Waiters listen to a channel of the server, and do not poll.
                String ops = "warm,pair,handoff,loop,flight,cycle,crowd,keep";
                return "ok name=redisson ops=" + ops + " poll_ms=0";
            case "warm":
                peer.warm(words[1]);
                return "ok";
            case "pair":
                return listed(peer.pairs(words[1], (int) numbers[0]));
            case "cycle":
                return "ok " + peer.cycles(words[1], numbers[0]);
            case "loop":
                return listed(peer.loop(words[1], numbers[0], numbers[1] * 1000));
            case "crowd":
                return listed(peer.crowd(words[1], (int) numbers[0], Serve::sayWaiting));
            case "flight":
                return "ok " + peer.flight(words[1], (int) numbers[0], (int) numbers[1]);
            case "keep":
                peer.keep(words[1], (int) numbers[0], numbers[1]);
                System.out.println("keeping");
                return listed(peer.kept(numbers[2]));
            case "hold":
                peer.hold(words[1]);
                return "ok";
            case "wait":
                sayWaiting();
                return "ok " + peer.hold(words[1]);
            case "free":
                return "ok " + peer.free(words[1]);
            default:
                return "err not understood: " + String.join(" ", words);
        }
    }

    private static void sayWaiting() {
        System.out.println("waiting");
    }

    private static String listed(long[] numbers) {
        return Arrays.stream(numbers)
                .mapToObj(Long::toString)
                .collect(Collectors.joining(" ", "ok ", ""));
    }
}
