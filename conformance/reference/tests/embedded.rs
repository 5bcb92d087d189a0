//! The embedded store does as the oracle, in memory and in a file, and so as the scripts do.

use std::cell::RefCell;

use fencelock_reference::Embedded;
use fencelock_reference::compare::{cases, check, compare, sequence};
use fencelock_reference::locks::Locks;

fn does_as_the_oracle(store: Embedded, count: u32) {
    let features = store.features();
    let store = RefCell::new(store);
    check(cases(count), &sequence(features), |ops| {
        let store = &mut *store.borrow_mut();
        store.reset().map_err(|error| error.to_string())?;
        compare(store, &ops).map_err(|disagreement| disagreement.to_string())
    });
}

#[test]
fn memory_does_as_the_oracle() {
    does_as_the_oracle(Embedded::in_memory().unwrap(), 3000);
}

#[test]
fn a_file_does_as_the_oracle() {
    let dir = std::env::temp_dir().join(format!("fl-reference-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    does_as_the_oracle(Embedded::in_file(&dir.join("locks.db")).unwrap(), 500);
    std::fs::remove_dir_all(dir).unwrap();
}
