//! What happens in a run, and the lines of its log: those of the drivers' events,
//! `! grant at=81723000111 fence=…`. Every `at` is in ns on the boot clock, which all processes share.

use std::fmt;

use fencelock_conformance::line::{Fields, Said};

use crate::kind::Kind;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in ns on the boot clock.
    pub at: u64,
    /// What it was.
    pub what: What,
}

/// What can happen. Times are ns.
#[expect(missing_docs, reason = "each variant says what its fields are")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A worker begins to ask for a lock; `waits` unless it only tries.
    Ask { worker: String, lock: String, waits: bool },
    /// That ended without a lease, for this kind of error or because the lock was `busy`.
    Refused { worker: String, kind: String },
    /// That ended with a lease, which the holder was told to last for `remaining`.
    Grant {
        worker: String,
        lock: String,
        lease: String,
        driver: String,
        fence: u64,
        remaining: u64,
        ttl: u64,
        renew: bool,
    },
    /// The holder was told that it holds it, for `remaining`.
    Held { lease: String, remaining: u64 },
    /// The holder was told that it does not.
    Unheld { lease: String },
    /// The loss was told unasked.
    Lost { lease: String, reason: String },
    /// The holder claims nothing from then on: it began to release it, or dropped it.
    End { lease: String, how: String },
    /// The fenced store was read under a fence.
    Read { lock: String, fence: u64, accepted: bool },
    /// A write under a fence by one who had read version `seen`; `version` is what the fenced store
    /// had before. `lost` if the store without a fence lost an update by it.
    Write { lock: String, fence: u64, accepted: bool, seen: u64, version: u64, lost: bool },
    /// A driver is there.
    Started { driver: String, language: String },
    /// A driver was killed.
    Killed { driver: String },
    /// A fault begins; for one lock or driver, or for all.
    Begin { fault: u64, kind: Kind, lock: Option<String>, driver: Option<String> },
    /// It is over, and was seen to have done something if it `worked`. Its consequences may last for
    /// `extra`.
    Over { fault: u64, worked: bool, extra: u64 },
    /// The machine stood still for `took`, until then.
    Stall { took: u64 },
    /// A driver did not answer.
    Hung { worker: String, op: String },
    /// Something is left when all is over that should not be.
    Left { what: String },
    /// What a driver uses, early in the run (`end` false) and when all is over.
    Uses { driver: String, end: bool, descriptors: u64, memory_kib: u64 },
}

impl What {
    fn line(&self) -> (&'static str, Fields) {
        let f = Fields::default();
        match self {
            Self::Ask { worker, lock, waits } => {
                ("ask", f.with("worker", worker).with("lock", lock).with("waits", u8::from(*waits)))
            }
            Self::Refused { worker, kind } => {
                ("refused", f.with("worker", worker).with("kind", kind))
            }
            Self::Grant { worker, lock, lease, driver, fence, remaining, ttl, renew } => {
                let f = f.with("worker", worker).with("lock", lock).with("lease", lease);
                let f = f.with("driver", driver).with("fence", fence);
                let f = f.with("remaining", remaining).with("ttl", ttl);
                ("grant", f.with("renew", u8::from(*renew)))
            }
            Self::Held { lease, remaining } => {
                ("held", f.with("lease", lease).with("remaining", remaining))
            }
            Self::Unheld { lease } => ("unheld", f.with("lease", lease)),
            Self::Lost { lease, reason } => ("lost", f.with("lease", lease).with("reason", reason)),
            Self::End { lease, how } => ("end", f.with("lease", lease).with("how", how)),
            Self::Read { lock, fence, accepted } => {
                let f = f.with("lock", lock).with("fence", fence);
                ("read", f.with("accepted", u8::from(*accepted)))
            }
            Self::Write { lock, fence, accepted, seen, version, lost } => {
                let f = f.with("lock", lock).with("fence", fence).with("seen", seen);
                let f = f.with("accepted", u8::from(*accepted)).with("version", version);
                ("write", f.with("lost", u8::from(*lost)))
            }
            Self::Started { driver, language } => {
                ("started", f.with("driver", driver).with("language", language))
            }
            Self::Killed { driver } => ("killed", f.with("driver", driver)),
            Self::Begin { fault, kind, lock, driver } => {
                let mut f = f.with("fault", fault).with("kind", kind.name());
                if let Some(lock) = lock {
                    f = f.with("lock", lock);
                }
                if let Some(driver) = driver {
                    f = f.with("driver", driver);
                }
                ("begin", f)
            }
            Self::Over { fault, worked, extra } => {
                let f = f.with("fault", fault).with("worked", u8::from(*worked));
                ("over", f.with("extra", extra))
            }
            Self::Stall { took } => ("stall", f.with("took", took)),
            Self::Hung { worker, op } => ("hung", f.with("worker", worker).with("op", op)),
            Self::Left { what } => ("left", f.with("what", what)),
            Self::Uses { driver, end, descriptors, memory_kib } => {
                let f = f.with("driver", driver).with("end", u8::from(*end));
                ("uses", f.with("descriptors", descriptors).with("memory", memory_kib))
            }
        }
    }

    fn read(name: &str, fields: &Fields) -> Result<Self, String> {
        let text = |key| fields.text(key).map(ToOwned::to_owned);
        let number = |key| fields.number(key);
        let truth = |key| fields.number(key).map(|n| n != 0);
        let maybe = |key| fields.get(key).map(ToOwned::to_owned);
        Ok(match name {
            "ask" => {
                Self::Ask { worker: text("worker")?, lock: text("lock")?, waits: truth("waits")? }
            }
            "refused" => Self::Refused { worker: text("worker")?, kind: text("kind")? },
            "grant" => Self::Grant {
                worker: text("worker")?,
                lock: text("lock")?,
                lease: text("lease")?,
                driver: text("driver")?,
                fence: number("fence")?,
                remaining: number("remaining")?,
                ttl: number("ttl")?,
                renew: truth("renew")?,
            },
            "held" => Self::Held { lease: text("lease")?, remaining: number("remaining")? },
            "unheld" => Self::Unheld { lease: text("lease")? },
            "lost" => Self::Lost { lease: text("lease")?, reason: text("reason")? },
            "end" => Self::End { lease: text("lease")?, how: text("how")? },
            "read" => Self::Read {
                lock: text("lock")?,
                fence: number("fence")?,
                accepted: truth("accepted")?,
            },
            "write" => Self::Write {
                lock: text("lock")?,
                fence: number("fence")?,
                accepted: truth("accepted")?,
                seen: number("seen")?,
                version: number("version")?,
                lost: truth("lost")?,
            },
            "started" => Self::Started { driver: text("driver")?, language: text("language")? },
            "killed" => Self::Killed { driver: text("driver")? },
            "begin" => Self::Begin {
                fault: number("fault")?,
                kind: Kind::named(fields.text("kind")?)?,
                lock: maybe("lock"),
                driver: maybe("driver"),
            },
            "over" => Self::Over {
                fault: number("fault")?,
                worked: truth("worked")?,
                extra: number("extra")?,
            },
            "stall" => Self::Stall { took: number("took")? },
            "hung" => Self::Hung { worker: text("worker")?, op: text("op")? },
            "left" => Self::Left { what: text("what")? },
            "uses" => Self::Uses {
                driver: text("driver")?,
                end: truth("end")?,
                descriptors: number("descriptors")?,
                memory_kib: number("memory")?,
            },
            _ => return Err(format!("no event {name}")),
        })
    }
}

impl Event {
    /// Reads a line of a log.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with it.
    pub fn read(line: &str) -> Result<Self, String> {
        match Said::read(line)? {
            Said::Event(name, fields) => {
                let at = fields.number("at")?;
                Ok(Self { at, what: What::read(&name, &fields)? })
            }
            Said::Answer(..) => Err(format!("{line:?} is no event")),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, fields) = self.what.line();
        Said::Event(name.to_owned(), fields.with("at", self.at)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_read_as_it_is_written() {
        let text = || "a b%=".to_owned();
        let all = [
            What::Ask { worker: text(), lock: text(), waits: true },
            What::Refused { worker: text(), kind: text() },
            What::Grant {
                worker: text(),
                lock: text(),
                lease: text(),
                driver: text(),
                fence: 7,
                remaining: 8,
                ttl: 9,
                renew: true,
            },
            What::Held { lease: text(), remaining: 9 },
            What::Unheld { lease: text() },
            What::Lost { lease: text(), reason: text() },
            What::End { lease: text(), how: text() },
            What::Read { lock: text(), fence: 1, accepted: true },
            What::Write { lock: text(), fence: 1, accepted: true, seen: 2, version: 3, lost: true },
            What::Started { driver: text(), language: text() },
            What::Killed { driver: text() },
            What::Begin { fault: 1, kind: Kind::ClientStop, lock: Some(text()), driver: None },
            What::Begin { fault: 1, kind: Kind::Evict, lock: None, driver: Some(text()) },
            What::Over { fault: 1, worked: true, extra: 5 },
            What::Stall { took: 4 },
            What::Hung { worker: text(), op: text() },
            What::Left { what: text() },
            What::Uses { driver: text(), end: true, descriptors: 1, memory_kib: 2 },
        ];
        for what in all {
            let event = Event { at: 17, what };
            assert_eq!(Event::read(&event.to_string()), Ok(event));
        }
        assert!(Event::read("! nothing at=1").is_err());
        assert!(Event::read("! held lease=a remaining=1").is_err());
    }
}
