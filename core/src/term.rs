//! How a holding stands, from its grant to its end, and what may follow on what. Knows no clock:
//! the time is told.

use std::time::Duration;

use crate::clock::Moment;
use crate::error::LossReason;

/// What has become of a holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Held, unless its time is over.
    Held,
    /// Lost; it never comes back.
    Lost(LossReason),
    /// Its release is under way.
    Releasing,
    /// Released, as far as the server could be reached.
    Released,
    /// Given up without a release; the server has it until it lapses.
    Abandoned,
}

/// What happens to a holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It is found to be lost.
    Lost(LossReason),
    /// Its holder begins to release it.
    ReleaseBegun,
    /// That release is over.
    Released,
    /// Its holder gives it up without a release.
    Abandoned,
}

impl Phase {
    /// What an event makes of it; `None` where the event comes too late.
    pub const fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Held, Event::Lost(reason)) => Some(Self::Lost(reason)),
            (Self::Held, Event::ReleaseBegun) => Some(Self::Releasing),
            (Self::Held, Event::Abandoned) => Some(Self::Abandoned),
            // What was lost stays lost, with its reason.
            (Self::Releasing, Event::Released) => Some(Self::Released),
            _ => None,
        }
    }

    /// Why it was lost, if it was.
    pub const fn loss(self) -> Option<LossReason> {
        match self {
            Self::Lost(reason) => Some(reason),
            _ => None,
        }
    }

    /// The phase as a number, for an atomic.
    pub(crate) const fn encode(self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Lost(reason) => reason as u8,
            Self::Releasing => 16,
            Self::Released => 17,
            Self::Abandoned => 18,
        }
    }

    pub(crate) fn decode(number: u8) -> Self {
        match number {
            0 => Self::Held,
            16 => Self::Releasing,
            17 => Self::Released,
            18 => Self::Abandoned,
            number => {
                let reason = LossReason::ALL.into_iter().find(|&reason| reason as u8 == number);
                // Every reason is in the list: there is no other number.
                Self::Lost(reason.unwrap_or(LossReason::Expired))
            }
        }
    }

    /// How long after a holding's end in this phase its token is withdrawn, where a request with
    /// it may still be on its way (protocol, "The client's part", 6).
    pub(crate) fn straggler_after(self, ttl: Duration) -> Duration {
        match self {
            Self::Released => Duration::ZERO,
            // What was lost or abandoned is left to lapse.
            _ => ttl,
        }
    }
}

/// A holding's phase and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Term {
    /// What has become of it.
    pub phase: Phase,
    /// The end of the lease that the server gave.
    pub until: Moment,
    /// Where `max_hold` ends it.
    pub ends_at: Moment,
}

impl Term {
    /// The last moment of the lease as it stands, `max_hold` considered.
    pub fn valid_until(&self) -> Moment {
        self.until.min(self.ends_at)
    }

    /// The reason by which it is to be marked lost now: it is held, and its time is over.
    pub fn overdue(&self, now: Moment) -> Option<LossReason> {
        if self.phase != Phase::Held || now < self.valid_until() {
            return None;
        }
        Some(if self.valid_until() == self.ends_at {
            LossReason::MaxHold
        } else {
            LossReason::Expired
        })
    }
}

/// The same steps as a lease's holding takes on its atomics.
#[cfg(feature = "model")]
impl Term {
    /// Held from its grant on.
    pub fn new(until: Moment, ends_at: Moment) -> Self {
        Self { phase: Phase::Held, until, ends_at }
    }

    /// Does what an event asks for; false where it came too late.
    pub fn step(&mut self, event: Event) -> bool {
        let next = self.phase.after(event);
        self.phase = next.unwrap_or(self.phase);
        next.is_some()
    }

    /// Why it was lost, if it was. A lease whose time is over is lost from here on.
    pub fn loss(&mut self, now: Moment) -> Option<LossReason> {
        if let Some(reason) = self.overdue(now) {
            self.step(Event::Lost(reason));
        }
        self.phase.loss()
    }

    /// Whether it is held at this moment.
    pub fn is_held(&mut self, now: Moment) -> bool {
        self.loss(now).is_none() && self.phase == Phase::Held
    }

    /// A renewal was granted; it never makes the lease shorter.
    pub fn prolong(&mut self, until: Moment) {
        self.until = self.until.max(until);
    }

    /// When, having ended now, its token is withdrawn for a straggler.
    pub fn straggler_due(&self, ttl: Duration, now: Moment) -> Moment {
        now + self.phase.straggler_after(ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 5] = [
        Phase::Held,
        Phase::Lost(LossReason::Refused),
        Phase::Releasing,
        Phase::Released,
        Phase::Abandoned,
    ];

    #[test]
    fn every_phase_survives_its_number() {
        let lost = LossReason::ALL.map(Phase::Lost);
        for phase in PHASES.into_iter().chain(lost) {
            assert_eq!(Phase::decode(phase.encode()), phase);
        }
    }

    #[test]
    fn only_what_is_held_can_be_lost_released_or_abandoned() {
        for phase in PHASES {
            for event in [Event::Lost(LossReason::Expired), Event::ReleaseBegun, Event::Abandoned] {
                assert_eq!(phase.after(event).is_some(), phase == Phase::Held, "{phase:?}");
            }
            let released = phase.after(Event::Released);
            assert_eq!(released.is_some(), phase == Phase::Releasing, "{phase:?}");
        }
    }

    #[test]
    fn a_term_is_over_at_its_last_moment() {
        let at = Moment::from_nanos;
        let term = |phase, until, ends_at| Term { phase, until: at(until), ends_at: at(ends_at) };
        assert_eq!(term(Phase::Held, 5, 9).overdue(at(4)), None);
        assert_eq!(term(Phase::Held, 5, 9).overdue(at(5)), Some(LossReason::Expired));
        assert_eq!(term(Phase::Held, 9, 5).overdue(at(5)), Some(LossReason::MaxHold));
        assert_eq!(term(Phase::Releasing, 5, 9).overdue(at(6)), None);
    }
}
