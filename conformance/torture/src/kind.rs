//! The kinds of faults.

use fencelock_conformance::backend::Backend;

/// A kind of fault. Those that are [`outside`](Self::outside) the promise can make two hold a lock
/// at once; the fence must refuse the older one then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A client stands still for about a lease (SIGSTOP, SIGCONT).
    ClientStop,
    /// As that, for longer than any lease.
    ClientStopLong,
    /// A client is killed (SIGKILL).
    ClientKill,
    /// A client's runtime is blocked by a computation, for longer than most leases.
    ClientBlock,
    /// A client forks, and the child looks at the lease and uses the lock itself.
    ClientFork,
    /// The server stands still for about a lease.
    ServerStop,
    /// As that, for longer than any lease.
    ServerStopLong,
    /// The server is killed, and starts again with what it had.
    ServerRestart,
    /// The server is killed, and starts again empty.
    ServerRestartEmpty,
    /// CLIENT KILL of every connection.
    Disconnect,
    /// CLIENT PAUSE.
    Pause,
    /// SCRIPT FLUSH.
    ScriptFlush,
    /// The server's clock is set forward.
    ClockForward,
    /// The server's clock is set back.
    ClockBack,
    /// One lock's key is deleted, as an evictor does.
    Evict,
    /// Everything is evicted, by the server itself.
    EvictAll,
    /// The server has no memory left.
    OutOfMemory,
    /// Requests and replies are delayed, each connection's for itself.
    Delay,
    /// Messages about grants are dropped.
    Deaf,
    /// Requests arrive, and the connection is cut in place of the reply.
    CutReply,
    /// Nothing passes, without a sign; then connections are reset.
    Hole,
    /// Connections are cut.
    Cut,
    /// A client's disk has no room left.
    DiskFull,
    /// Another program keeps the file's write lock.
    Locked,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 24] = [
        Self::ClientStop,
        Self::ClientStopLong,
        Self::ClientKill,
        Self::ClientBlock,
        Self::ClientFork,
        Self::ServerStop,
        Self::ServerStopLong,
        Self::ServerRestart,
        Self::ServerRestartEmpty,
        Self::Disconnect,
        Self::Pause,
        Self::ScriptFlush,
        Self::ClockForward,
        Self::ClockBack,
        Self::Evict,
        Self::EvictAll,
        Self::OutOfMemory,
        Self::Delay,
        Self::Deaf,
        Self::CutReply,
        Self::Hole,
        Self::Cut,
        Self::DiskFull,
        Self::Locked,
    ];

    /// As logs and reports name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientStop => "client-stop",
            Self::ClientStopLong => "client-stop-long",
            Self::ClientKill => "client-kill",
            Self::ClientBlock => "client-block",
            Self::ClientFork => "client-fork",
            Self::ServerStop => "server-stop",
            Self::ServerStopLong => "server-stop-long",
            Self::ServerRestart => "server-restart",
            Self::ServerRestartEmpty => "server-restart-empty",
            Self::Disconnect => "disconnect",
            Self::Pause => "pause",
            Self::ScriptFlush => "script-flush",
            Self::ClockForward => "clock-forward",
            Self::ClockBack => "clock-back",
            Self::Evict => "evict",
            Self::EvictAll => "evict-all",
            Self::OutOfMemory => "out-of-memory",
            Self::Delay => "delay",
            Self::Deaf => "deaf",
            Self::CutReply => "cut-reply",
            Self::Hole => "hole",
            Self::Cut => "cut",
            Self::DiskFull => "disk-full",
            Self::Locked => "locked",
        }
    }

    /// The kind of this name.
    ///
    /// # Errors
    ///
    /// A text that says that there is none.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| format!("no kind of fault: {name}"))
    }

    /// Whether it breaks what the promise rests on (`docs/guarantees.md`).
    pub const fn outside(self) -> bool {
        matches!(self, Self::ServerRestartEmpty | Self::ClockForward | Self::Evict | Self::EvictAll)
    }

    /// Whether the server forgets the last fence by it, so that the next one rests on its clock.
    pub const fn forgets_fences(self) -> bool {
        matches!(self, Self::ServerRestartEmpty | Self::EvictAll)
    }

    /// Whether it can be done there.
    pub const fn is_for(self, backend: Backend) -> bool {
        let only_file = matches!(self, Self::DiskFull | Self::Locked);
        let both = matches!(
            self,
            Self::ClientStop
                | Self::ClientStopLong
                | Self::ClientKill
                | Self::ClientBlock
                | Self::ClientFork
                | Self::Evict
        );
        match backend {
            Backend::Redis => !only_file,
            Backend::File => only_file || both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_its_name_and_has_a_place() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Ok(kind));
            assert!(Backend::ALL.into_iter().any(|backend| kind.is_for(backend)), "{kind:?}");
        }
    }
}
