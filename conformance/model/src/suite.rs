//! The settings that are searched.

use std::sync::Arc;
use std::time::Duration;

use fencelock::model::Patience;

use crate::setting::{DEAF, Fault, PARTY, Party, Setting};

use Fault::{
    Abandon, Back, Crash, Cut, Discard, Drop, Evict, EvictQueue, Flush, Foreign, Forward, Full,
    Ghosts, GiveUp, Promote, Renew, Reset, Restart, Slew, Slow, Stall, Twice, Vanish,
};

const FOREVER: &[Patience] = &[Patience::Forever];
/// As long as the shortest wait that makes a difference, and longer than a heartbeat.
const ANY: &[Patience] =
    &[Patience::Once, Patience::For(Duration::from_secs(4)), Patience::Forever];
const SHORT: u64 = 900;
const LONG: u64 = 10_000;

const NETWORK: &[Fault] = &[Slow, Drop, Twice, Cut, Reset];
const INSIDE: &[Fault] = &[
    Slow, Drop, Twice, Cut, Reset, Stall, Crash, Vanish, GiveUp, Discard, Abandon, Renew, Ghosts,
    Back, Slew, EvictQueue, Full, Foreign,
];
const ALL: &[Fault] = &[
    Slow, Drop, Twice, Cut, Reset, Stall, Crash, Vanish, GiveUp, Discard, Abandon, Renew, Ghosts,
    Back, Slew, Forward, Flush, Evict, EvictQueue, Promote, Restart, Full, Foreign,
];

fn setting(name: &'static str, parties: Vec<Party>, faults: &'static [Fault]) -> Setting {
    Setting {
        name,
        parties,
        ttl_ms: LONG,
        patiences: FOREVER,
        rounds: 1,
        faults,
        budget: 1,
        push_first: false,
        resp2: false,
        ears: false,
    }
}

/// The settings that are searched in full, to some depth.
pub(crate) fn searched() -> Vec<Arc<Setting>> {
    let plain = Party { renew: false, ..PARTY };
    let settings = vec![
        setting("two clients on a bad network", vec![PARTY, PARTY], NETWORK),
        Setting {
            budget: 2,
            ..setting(
                "two clients in two troubles",
                vec![PARTY, PARTY],
                &[Slow, Cut, Reset, Stall, Crash],
            )
        },
        Setting {
            patiences: ANY,
            push_first: true,
            ..setting(
                "two who change their minds",
                vec![PARTY, PARTY],
                &[GiveUp, Discard, Abandon, Renew, Reset],
            )
        },
        Setting {
            budget: 2,
            rounds: 2,
            ..setting("leases that are not renewed", vec![plain, plain], &[Slow, Stall, Slew])
        },
        Setting {
            budget: 2,
            ..setting("extensions that are late", vec![PARTY, PARTY], &[Slow, Stall])
        },
        Setting {
            budget: 2,
            rounds: 2,
            ..setting(
                "a server that forgets",
                vec![plain, plain],
                &[Back, Forward, Flush, Evict, EvictQueue, Promote, Restart],
            )
        },
        Setting {
            budget: 2,
            ..setting("a server without memory", vec![PARTY, PARTY], &[Full, EvictQueue, Slew, Cut])
        },
        Setting {
            rounds: 2,
            budget: 2,
            ..setting("a foreign holder", vec![plain, plain], &[Foreign, Back, Crash])
        },
        setting(
            "three clients",
            vec![PARTY, PARTY, PARTY],
            &[Slow, Reset, Stall, Crash, Vanish, GiveUp],
        ),
        Setting {
            budget: 2,
            ..setting("the dead in the queue", vec![PARTY, PARTY], &[Ghosts, Vanish, GiveUp])
        },
        setting("one who hears of nothing", vec![DEAF, PARTY], &[Slow, Crash, Reset, GiveUp]),
        Setting {
            ttl_ms: SHORT,
            rounds: 2,
            resp2: true,
            ..setting("messages apart from answers", vec![plain, plain], &[Slow])
        },
        Setting {
            patiences: ANY,
            ..setting(
                "two of one process, and one who connects late",
                vec![Party { callers: 2, ..PARTY }, Party { connected: false, ..PARTY }],
                &[Slow, Cut, Stall],
            )
        },
        Setting {
            budget: 2,
            resp2: true,
            ..setting(
                "one who gives up while its connection is replaced",
                vec![PARTY, Party { connected: false, ..PARTY }],
                &[Reset, Stall, GiveUp],
            )
        },
        Setting {
            budget: 2,
            ears: true,
            ..setting(
                "two who listen by themselves",
                vec![PARTY, PARTY],
                &[Slow, Drop, Cut, Reset, Stall, GiveUp],
            )
        },
        Setting {
            ears: true,
            push_first: true,
            ..setting(
                "two of one process who listen by themselves",
                vec![Party { callers: 2, ..PARTY }, PARTY],
                &[Slow, Cut, Reset, Crash],
            )
        },
    ];
    settings.into_iter().map(Arc::new).collect()
}

/// The settings that are walked at random.
pub(crate) fn walked() -> Vec<Arc<Setting>> {
    let both = Party { callers: 2, ..PARTY };
    let settings = vec![
        Setting {
            patiences: ANY,
            rounds: 6,
            budget: 10,
            ..setting("two clients, anything inside the promise", vec![both, PARTY], INSIDE)
        },
        Setting {
            patiences: ANY,
            rounds: 6,
            budget: 10,
            ttl_ms: SHORT,
            resp2: true,
            ..setting(
                "three clients, anything inside the promise",
                vec![PARTY, PARTY, DEAF],
                INSIDE,
            )
        },
        Setting {
            patiences: ANY,
            rounds: 6,
            budget: 12,
            push_first: true,
            ..setting("three clients, anything at all", vec![both, PARTY, PARTY], ALL)
        },
        Setting {
            patiences: ANY,
            rounds: 6,
            budget: 12,
            ears: true,
            ..setting("two who listen by themselves, anything at all", vec![both, PARTY], ALL)
        },
        Setting {
            patiences: ANY,
            rounds: 6,
            budget: 10,
            ears: true,
            ..setting(
                "two who listen by themselves, anything inside the promise",
                vec![PARTY, both],
                INSIDE,
            )
        },
        Setting {
            patiences: ANY,
            rounds: 6,
            budget: 12,
            ..setting(
                "two clients, anything at all",
                vec![PARTY, Party { renew: false, ..PARTY }],
                ALL,
            )
        },
    ];
    settings.into_iter().map(Arc::new).collect()
}

/// The setting of this name.
pub(crate) fn named(name: &str) -> Option<Arc<Setting>> {
    searched().into_iter().chain(walked()).find(|setting| setting.name == name)
}
