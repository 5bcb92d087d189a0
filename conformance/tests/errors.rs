//! `errors.toml` says what core says, no more and no less.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use fencelock::{ErrorKind, LossReason};
use toml::Table;

/// Name, number and Rust name, as they stand in the file.
fn listed(section: &str) -> Vec<(String, i64, String)> {
    let file: Table = include_str!("../errors.toml").parse().unwrap();
    let entry = |(name, entry): (&String, &toml::Value)| {
        let code = entry["code"].as_integer().unwrap();
        (name.clone(), code, entry["rust"].as_str().unwrap().to_owned())
    };
    let mut listed: Vec<_> = file[section].as_table().unwrap().iter().map(entry).collect();
    listed.sort_by_key(|(_, code, _)| *code);
    listed
}

#[test]
fn kinds_are_those_of_core() {
    let told = |kind: ErrorKind| {
        let code = i64::from(kind.code());
        (kind.name().to_owned(), code, format!("{kind:?}"))
    };
    let core: Vec<_> = ErrorKind::ALL.into_iter().map(told).collect();
    assert_eq!(listed("kind"), core);
}

#[test]
fn losses_are_those_of_core() {
    let told =
        |reason: LossReason| (reason.name().to_owned(), reason as i64, format!("{reason:?}"));
    let core: Vec<_> = LossReason::ALL.into_iter().map(told).collect();
    assert_eq!(listed("loss"), core);
}
