//! What fencelock's threads share, as shipped, under [loom](https://docs.rs/loom): a model with a few
//! threads is run in every interleaving, and with every value that the memory model lets an atomic
//! show. The files are those of the other crates; here they get loom's locks and atomics
//! ([`sync`]), and stand-ins for what they only pass on.
#![expect(unsafe_code, reason = "the handles' registry has it")]

mod error;
pub mod handles;
mod sync;

#[path = "../../../bindings/c/src/handle.rs"]
mod handle;

/// Runs a model in every interleaving with at most two switches that no thread asked for, in `make
/// test-all` three: more find hardly any more.
fn every_interleaving(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let long = std::env::var("FENCELOCK_LONG").is_ok_and(|long| long == "1");
    builder.preemption_bound = Some(if long { 3 } else { 2 });
    builder.check(model);
}
