//! Runs the model checker.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "x")]
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let r = fencelock_model::first(a[1].parse().unwrap(), a[2].parse().unwrap());
    println!("{} states {} transitions depth {} in {:?}", r.states, r.transitions, r.depth, r.time);
    println!("{:?}", r.tally);
    if let Some(s) = r.found { for l in s.lines { println!("{l}"); } println!("{}", s.words); }
}
