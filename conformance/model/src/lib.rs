//! A model checker for fencelock.
mod chances;
mod client;
mod drain;
mod event;
mod lab;
mod ledger;
mod rules;
mod search;
mod server;
mod setting;
mod shell;
mod trace;
mod wire;
mod world;

pub use lab::{Rule, Seen, Tally, Violation};
pub use search::Report;
pub use trace::Story;

use std::sync::Arc;
use fencelock::model::Patience;
use setting::*;

/// First try.
pub fn first(depth: usize, budget: u8) -> Report {
    let setting = Setting {
        name: "first",
        parties: vec![PARTY, PARTY],
        ttl_ms: 10_000,
        patiences: &[Patience::Forever],
        rounds: 1,
        faults: &[Fault::Slow, Fault::Drop, Fault::Cut, Fault::Reset, Fault::Stall, Fault::Crash, Fault::GiveUp],
        budget,
        depth,
        push_first: false,
        resp2: false,
    };
    search::search(&Arc::new(setting), None)
}
