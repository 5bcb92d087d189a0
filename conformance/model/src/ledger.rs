//! What the rules remember of a path.

use fencelock::model::{Moment, Token};

/// What the rules remember of a path.
#[derive(Clone, Debug, Default, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Ledger {
    /// Every grant that the server made, in order.
    pub(crate) grants: Vec<Grant>,
    /// The largest fence so far.
    pub(crate) fence: u64,
    /// What a store of the resource has seen: the grant's number and its fence.
    pub(crate) store: Option<(usize, u64)>,
    /// Something has happened after which exclusion is not promised.
    pub(crate) beyond: bool,
    /// State was lost.
    pub(crate) lost: bool,
    /// The server's clock was set back.
    pub(crate) back: bool,
    /// The drift was used up.
    pub(crate) slewed: bool,
    /// Tokens that are left to lapse.
    pub(crate) excused: Vec<Token>,
    /// Processes have died, or requests been late: what they left behind is left to lapse.
    pub(crate) untidy: bool,
    /// Until when a foreign holder believes to hold the lock.
    pub(crate) foreign: Option<Moment>,
    /// How many have been dead when they joined.
    pub(crate) ghosts: u8,
}

/// What the server granted.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Grant {
    pub(crate) token: Token,
    pub(crate) fence: u64,
    /// When the server last said, or decided, that it is held.
    pub(crate) said: Moment,
}

impl Ledger {
    /// The fence may repeat: state was lost, and the clock set back.
    pub(crate) fn fence_may_repeat(&self) -> bool {
        self.lost && self.back
    }

    pub(crate) fn excuse(&mut self, token: Token) {
        if !self.excused.contains(&token) {
            self.excused.push(token);
            self.excused.sort_unstable();
        }
    }

    /// The number of the grant of this token with this fence.
    pub(crate) fn number(&self, token: &Token, fence: u64) -> Option<usize> {
        self.grants.iter().position(|grant| grant.token == *token && grant.fence == fence)
    }

    /// The server says at this moment that this token holds the lock.
    pub(crate) fn said(&mut self, token: &Token, now: Moment) {
        for grant in self.grants.iter_mut().filter(|grant| grant.token == *token) {
            grant.said = now;
        }
    }
}
