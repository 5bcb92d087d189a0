//! A run's outcome for people, and as JSON for `scripts/reliability.py`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::check::Verdict;
use crate::run::{Config, Outcome};

fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

/// The commit that this was built from, if git tells.
fn commit() -> String {
    let mut git = std::process::Command::new("git");
    git.args(["rev-parse", "--short=12", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let told = git.output().ok().filter(|output| output.status.success());
    let text = told.and_then(|output| String::from_utf8(output.stdout).ok());
    text.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// The outcome as JSON.
pub fn json(config: &Config, outcome: &Outcome) -> Value {
    let v = &outcome.verdict;
    let recovery = v
        .worst_recovery
        .as_ref()
        .map(|worst| json!({"took_ns": worst.took, "bound_ns": worst.bound, "after": worst.after}));
    let growth = v.growth.as_ref().map(|growth| {
        json!({
            "driver": growth.driver,
            "descriptors": [growth.descriptors.0, growth.descriptors.1],
            "memory_kib": [growth.memory_kib.0, growth.memory_kib.1],
        })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": commit(),
        "backend": config.backend.name(),
        "server": outcome.server,
        "seed": config.seed,
        "seconds": config.time.as_secs(),
        "processes": config.processes * config.languages.len(),
        "languages": config.languages.iter().map(|language| language.name).collect::<Vec<_>>(),
        "drivers_started": v.drivers,
        "operations": v.operations,
        "asks": v.asks,
        "grants": v.grants,
        "refused": v.refused,
        "looks": v.looks,
        "faults": v.faults,
        "losses": v.losses,
        "overlaps_inside": v.overlaps_inside,
        "overlaps_outside": v.overlaps_outside,
        "overlaps_refused": v.overlaps_refused,
        "overlaps_accepted": v.overlaps_accepted,
        "writes": v.writes,
        "refused_old": v.refused_old,
        "lost_updates_unfenced": v.lost_updates,
        "recoveries": v.recoveries,
        "worst_recovery": recovery,
        "orders": v.orders,
        "ends": v.ends,
        "worst_telling_ns": v.worst_telling,
        "growth": growth,
        "stalls": {"count": v.stalls.0, "ns": v.stalls.1},
        "violations": v.violations,
    })
}

/// The outcome in lines.
pub fn text(config: &Config, outcome: &Outcome) -> String {
    format!(
        "torture: fencelock {} on {}, seed {}, {} s, {} processes\n{}",
        env!("CARGO_PKG_VERSION"),
        outcome.server,
        config.seed,
        config.time.as_secs(),
        config.processes * config.languages.len(),
        verdict(&outcome.verdict),
    )
}

/// A verdict in lines.
pub fn verdict(v: &Verdict) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{text}");
    };
    let faults: u64 = v.faults.values().sum();
    line(format!(
        "operations        {} ({} asked for, {} granted)",
        v.operations, v.asks, v.grants
    ));
    line(format!("not granted       {:?}", v.refused));
    line(format!("faults            {faults}: {:?}", v.faults));
    line(format!("losses told       {:?}", v.losses));
    line(format!("overlaps          {} inside the promise", v.overlaps_inside));
    line(format!(
        "                  {} outside it; the fence refused the older holder in the {} where it \
         tried, and let it pass in {}",
        v.overlaps_outside, v.overlaps_refused, v.overlaps_accepted
    ));
    line(format!(
        "stores            {} writes taken, {} reads and writes of older holders refused; \
         without a fence {} updates were lost",
        v.writes, v.refused_old, v.lost_updates
    ));
    if let Some(worst) = &v.worst_recovery {
        line(format!(
            "recovery          {} judged, worst {} of {} allowed, after {}",
            v.recoveries,
            seconds(worst.took),
            seconds(worst.bound),
            worst.after
        ));
    }
    line(format!("order             {} grants with somebody waiting who came later", v.orders));
    line(format!(
        "ends              {} of leases without renewal, told at most {} late",
        v.ends,
        seconds(v.worst_telling)
    ));
    if let Some(growth) = &v.growth {
        line(format!("growth            at most {growth:?}"));
    }
    line(format!("machine           stood still {} times, {}", v.stalls.0, seconds(v.stalls.1)));
    for violation in &v.violations {
        line(format!("VIOLATION         {violation}"));
    }
    line(if v.violations.is_empty() {
        "torture: nothing found".to_owned()
    } else {
        format!("torture: {} violations", v.violations.len())
    });
    out
}
