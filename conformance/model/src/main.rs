//! `make model`: ten million states, and random walks. `model [STATES-PER-SETTING [SEED [PATHS]]]`.

use std::io::Write;
use std::process::ExitCode;

use fencelock_model::{Report, searches, tally, walks};

fn say(line: &str) {
    // Nobody is there to be told that nobody reads.
    let _ = writeln!(std::io::stdout(), "model: {line}");
}

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let enough = numbers.next().and_then(|number| usize::try_from(number).ok()).unwrap_or(800_000);
    let seed = numbers.next().unwrap_or(1_000_000);
    let paths = numbers.next().unwrap_or(20_000);
    let tell = |report: &Report| say(&report.to_string());
    let mut reports = searches(enough, tell);
    let states: u64 = reports.iter().map(|report| report.states).sum();
    let transitions: u64 = reports.iter().map(|report| report.transitions).sum();
    reports.extend(walks(seed, paths, tell));
    say(&format!("{states} states and {transitions} transitions in all, random walks apart"));
    for (what, count) in tally(&reports) {
        say(&format!("{count:>10} {what:?}"));
    }
    ExitCode::from(u8::from(reports.iter().any(|report| report.found.is_some())))
}
