//! What is fuzzed: each target takes any bytes, and panics where a promise is broken. The corpus
//! (`corpus/`, one folder a target) is replayed by `make test`; `make fuzz` looks for more.

mod bytes;
mod c_calls;
mod line;
mod message;
mod name;
mod options;
mod reply;
mod resp;
mod url;

/// A target: panics if what it is fed breaks a promise.
pub type Target = fn(&[u8]);

/// Every target by its name, which its corpus's folder has, too.
pub const TARGETS: [(&str, Target); 8] = [
    ("c_calls", c_calls::run),
    ("line", line::run),
    ("message", message::run),
    ("name", name::run),
    ("options", options::run),
    ("reply", reply::run),
    ("resp", resp::run),
    ("url", url::run),
];
