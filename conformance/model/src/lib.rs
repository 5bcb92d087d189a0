//! A model checker for fencelock: the scripts and the client's logic as shipped, under everything
//! that may go wrong. [`searches`] looks at every path of a few clients to some depth, [`walks`]
//! at random ones far beyond, and [`controls`] shows that both would find bugs.
//!
//! The scripts run on the fake Redis of `fencelock-reference`; the client's machines are those of
//! `fencelock::model`, and `shell` does in its place what a client's shell does.

mod chances;
mod client;
mod controls;
mod drain;
mod event;
mod lab;
mod ledger;
mod rules;
mod search;
mod server;
mod setting;
mod shell;
mod suite;
mod trace;
mod walk;
mod wire;
mod world;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

pub use controls::{Control, controls};
pub use lab::{Rule, Seen, Tally, Violation};
pub use search::Report;
pub use trace::Story;

impl Report {
    fn none(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            states: 0,
            transitions: 0,
            depth: 0,
            budget: 0,
            time: std::time::Duration::ZERO,
            tally: Tally::new(),
            found: None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, states, transitions, depth, budget, time, found, .. } = self;
        let time = time.as_secs_f64();
        write!(
            f,
            "{states:>9} states, {transitions:>9} transitions, depth {depth:>3}, \
             {budget} troubles, {time:6.1} s  {name}"
        )?;
        match found {
            Some(story) => write!(f, "\n{story}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "to replay it: {}", self.words)
    }
}

/// Looks at every setting, each to the depth at which it has `enough` states, on two threads;
/// `tell` hears of each as it ends.
pub fn searches(enough: usize, tell: impl Fn(&Report) + Sync) -> Vec<Report> {
    in_parallel(suite::searched(), |setting| {
        let report = search::search(&setting, None, None, enough);
        tell(&report);
        report
    })
}

/// Walks so many random paths in each of some settings, on two threads.
pub fn walks(seed: u64, paths: u64, tell: impl Fn(&Report) + Sync) -> Vec<Report> {
    in_parallel(suite::walked(), |setting| {
        let report = walk::walk(&setting, seed, paths);
        tell(&report);
        report
    })
}

/// Plays a path again, in the setting of this name.
///
/// # Errors
///
/// If there is no such setting, or a step can't be taken.
pub fn replay(setting: &str, words: &str) -> Result<Story, String> {
    let found = suite::named(setting).ok_or_else(|| format!("there is no setting {setting:?}"))?;
    let path = trace::path(&found, None, words)?;
    Ok(trace::story(&found, None, &path, None, None))
}

/// How often each was seen in all of them.
pub fn tally<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Tally {
    let mut all: Tally = Seen::ALL.into_iter().map(|what| (what, 0)).collect();
    for (&what, count) in reports.into_iter().flat_map(|report| &report.tally) {
        *all.entry(what).or_default() += count;
    }
    all
}

fn in_parallel<T: Send, R: Send>(work: Vec<T>, run: impl Fn(T) -> R + Sync) -> Vec<R> {
    let (work, done) = (Mutex::new(VecDeque::from(work)), Mutex::new(Vec::new()));
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(one) = next() {
                    let result = run(one);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}
