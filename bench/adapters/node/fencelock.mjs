// fencelock for Node, at its defaults (TTL 10 s, renewed).

import { connect } from "../../../node/dist/index.mjs";
import { described, serve, url } from "./serve.mjs";

const client = await connect(url);
const lock = described((name) => client.lock(name, { ttl: 10_000 }));
await serve(
    "fencelock-node",
    (name) => lock(name).acquire(),
    (lease) => lease.release(),
    {
        keep: {
            take: (name, ttl) => client.lock(name, { ttl }).acquire(),
            isHeld: (lease) => lease.isHeld(),
        },
        end: () => client.close(),
    },
);
