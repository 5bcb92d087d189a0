//! Torture: many processes in all languages on one server or file, random faults, and a checker
//! that judges from the log what all of them claimed (`docs/reliability.md`).

pub mod check;
pub mod event;
pub mod kind;
pub mod log;
pub mod nemesis;
pub mod report;
pub mod run;
pub mod seat;
pub mod store;
pub mod worker;

mod ending;
mod faults;
