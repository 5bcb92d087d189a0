//! A million states without a broken rule, random walks beyond, and each bug on purpose found.

use std::io::Write;

use fencelock_model::{Control, Report, controls, replay, searches, tally, walks};
use libtest_mimic::{Arguments, Failed, Trial};

/// How many states each setting is searched for, at least: a million in all.
const ENOUGH: usize = 70_000;
/// How many states a bug on purpose may take to be found.
const CONTROL: usize = 400_000;
/// How many random paths each setting has.
const PATHS: u64 = 300;
const SEED: u64 = 1;

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "model: {line}");
}

fn clean<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Result<(), Failed> {
    match reports.into_iter().find(|report| report.found.is_some()) {
        Some(report) => Err(report.to_string().into()),
        None => Ok(()),
    }
}

fn tell(report: &Report) {
    say(&report.to_string());
}

fn everything() -> Result<(), Failed> {
    let mut reports = searches(ENOUGH, tell);
    let states: u64 = reports.iter().map(|report| report.states).sum();
    reports.extend(walks(SEED, PATHS, tell));
    clean(&reports)?;
    say(&format!("{states} states in all, random walks apart"));
    if states < 1_000_000 {
        return Err("fewer than a million states".into());
    }
    let seen = tally(&reports);
    say(&format!("{seen:?}"));
    match seen.iter().find(|(_, count)| **count == 0) {
        Some((what, _)) => Err(format!("never seen: {what:?}").into()),
        None => Ok(()),
    }
}

fn control(control: Control) -> Result<(), Failed> {
    let report = control.run(CONTROL);
    let story = report.found.ok_or("it was not found")?;
    let violation = story.violation.clone().ok_or("it breaks no rule when told again")?;
    say(&format!(
        "{} was caught by {:?} at depth {}, after {} states",
        control.name, violation.rule, report.depth, report.states
    ));
    if control.caught_by.contains(&violation.rule) { Ok(()) } else { Err(story.to_string().into()) }
}

/// Paths that broke a rule once, with the bug that they showed.
const ONCE_BROKEN: [(&str, &str, &str); 6] = [
    (
        "the first request of a try_acquire arrives after the second was told 'busy'",
        "two who change their minds",
        "try:A1 execute:A.2 receive:A.2 release:A1 try:B1 reset:B.2 execute:B.3 execute:A.2 \
         receive:A.2 execute:B.2 receive:B.3",
    ),
    (
        "the same, where the first was only slow",
        "two of one process, and one who connects late",
        "try:B1 slow-requests:B.1 advance try:A1 execute:A.2 receive:A.2 execute:B.2 release:A1 \
         execute:A.2 execute:B.1 receive:A.2 receive:B.2",
    ),
    (
        "a withdrawal on a new connection overtakes the engine's own request on the old one",
        "one who gives up while its connection is replaced",
        "acquire:A1 execute:A.3 acquire:B1 execute:B.1 receive:B.1 execute:B.2 receive:B.2 \
         reset:B.3 notice:B.3 giveup:B1 execute:B.4 receive:B.4 execute:B.4 receive:A.3 \
         execute:B.2 receive:B.2 receive:B.4",
    ),
    (
        "the last look for a straggler is lost with its connection",
        "one who gives up while its connection is replaced",
        "acquire:A1 reset:A.3 execute:A.1 receive:A.1 release:A1 execute:A.4 receive:A.4 \
         execute:A.1 receive:A.1 advance execute:A.1 receive:A.1 execute:A.3 advance advance \
         reset:A.1 notice:A.1",
    ),
    (
        "the first request of a try_acquire arrives after its second was given up",
        "two clients, anything inside the promise",
        "try:A1 acquire-timeout:A2 try:B1 reset:B.2 execute:B.3 giveup:B1 try:B1 execute:B.4 \
         execute:B.3 execute:B.2 receive:B.4 receive:B.3 try:B1 execute:A.3 execute:B.4 \
         receive:B.3 execute:A.2 back receive:A.2 receive:A.3 reset:B.4 acquire:A1 execute:B.5 \
         receive:B.5 acquire-timeout:B1 execute:B.1 receive:B.1 execute:B.5 execute:A.2 \
         receive:A.2 receive:B.5",
    ),
    (
        "a late message has a lease withdrawn whose release is under way",
        "two clients on a bad network",
        "acquire:A1 execute:A.2 receive:A.2 advance release:A1 acquire:B1 execute:B.2 execute:A.2 \
         receive:A.2 twice-replies:B.1 receive:B.1 receive:B.2 release:B1 execute:A.1 receive:A.1 \
         receive:B.1 execute:B.2 receive:B.2",
    ),
];

fn once_broken(setting: &str, words: &str) -> Result<(), Failed> {
    let story = replay(setting, words)?;
    if story.violation.is_some() { Err(story.to_string().into()) } else { Ok(()) }
}

fn main() {
    let mut trials = vec![Trial::test("every_path_and_random_walks", everything)];
    for one in controls() {
        let name = one.name.replace([' ', ','], "_");
        trials.push(Trial::test(format!("control::{name}"), move || control(one)));
    }
    for (what, setting, words) in ONCE_BROKEN {
        let name = what.replace([' ', ','], "_");
        trials.push(Trial::test(format!("once_broken::{name}"), || once_broken(setting, words)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
