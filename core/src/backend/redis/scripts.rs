//! The scripts that the server runs, as they are sent to it. `lua/*.lua` state their contracts.

use once_cell::race::OnceBox;

/// A script's text, and its hash by which EVALSHA calls it.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) source: String,
    pub(crate) sha1: String,
}

impl Script {
    /// Puts the shared functions in where the script asks for them: a script that can answer
    /// before that line never pays for their definition.
    fn splice(script: &str) -> Self {
        let source = script.replacen("--@quick", include_str!("lua/quick.lua"), 1).replacen(
            "--@common",
            include_str!("lua/common.lua"),
            1,
        );
        let sha1 = sha1_smol::Sha1::from(&source).digest().to_string();
        Self { source, sha1 }
    }
}

macro_rules! script {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub(crate) fn $name() -> &'static Script {
            // Not a LazyLock: a fork while another thread makes it would leave the child waiting
            // for that thread. Two that race make it twice, and one is kept.
            static SCRIPT: OnceBox<Script> = OnceBox::new();
            SCRIPT.get_or_init(|| {
                let text = include_str!(concat!("lua/", stringify!($name), ".lua"));
                Box::new(Script::splice(text))
            })
        }
    };
}

script! {
    /// Takes the lock, or a place in its queue.
    acquire
}
script! {
    /// A client's heartbeat for its waiters on one lock; tells how each stands.
    poll
}
script! {
    /// Gives the lock back, to the next waiter if there is one.
    release
}
script! {
    /// Undoes an acquire, whatever has come of it.
    cancel
}
script! {
    /// Renews a lease.
    extend
}
script! {
    /// Tells who holds and how many wait; changes nothing.
    inspect
}
