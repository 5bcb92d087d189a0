//! Tells the oracle and a backend the same, and compares what they answer.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::locks::{Answer, Client, Features, Locks, Op, Standing, Token, Told, Wish};
use crate::oracle::Reference;

/// When every sequence begins, in µs since 1970.
pub const START_US: i64 = 1_764_000_000_123_456;

/// Where a backend's answers were not the oracle's: all steps up to there, to be read.
#[derive(Debug)]
pub struct Disagreement(String);

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A backend's fences in the oracle's terms. Where a grant that came to nothing may skip a
/// fence, they need not be the same numbers, but they must be as good.
#[derive(Default)]
struct Fences {
    oracles: BTreeMap<i64, i64>,
    /// The greatest that must be remembered.
    last: i64,
    /// How many grants there were, and the latest time, since all was forgotten: what was skipped
    /// is not beyond them.
    grants: i64,
    peak_us: i64,
}

impl Fences {
    /// Why the backend's fence can't be what the oracle's is.
    fn fault(&mut self, oracles: i64, theirs: i64, now_us: i64, exact: bool) -> Option<String> {
        if exact && theirs != oracles {
            return Some(format!("the fence is {theirs}, not {oracles}"));
        }
        if let Some(known) = self.oracles.get(&oracles) {
            return (*known != theirs).then(|| format!("the grant's fence was {known}"));
        }
        self.grants += 1;
        let fault = if theirs < now_us {
            Some(format!("the fence {theirs} is behind the clock, {now_us}"))
        } else if theirs <= self.last {
            Some(format!("the fence {theirs} does not follow {}", self.last))
        } else if !(oracles..=oracles.max(self.peak_us) + 2 * self.grants).contains(&theirs) {
            Some(format!("the fence {theirs} is too far from {oracles}"))
        } else {
            None
        };
        self.last = theirs;
        self.oracles.insert(oracles, theirs);
        fault
    }
}

/// Takes the fences out of what was said.
fn fences(answer: &mut Answer, told: &mut [Told]) -> Vec<i64> {
    let of_answer: Vec<&mut i64> = match answer {
        Answer::Held(fence) | Answer::Inspected { grant: Some((fence, ..)), .. } => vec![fence],
        Answer::Polled(_, states) => states
            .iter_mut()
            .filter_map(|state| match state {
                Standing::Held(fence) => Some(fence),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let of_told = told.iter_mut().map(|told| &mut told.fence);
    of_answer.into_iter().chain(of_told).map(std::mem::take).collect()
}

/// Tells both the same. The backend must be as new.
///
/// # Errors
/// At the first answer that differs.
pub fn compare(backend: &mut impl Locks, ops: &[Op]) -> Result<(), Disagreement> {
    let features = backend.features();
    let mut oracle = Reference::new(START_US, features);
    backend.set_clock(START_US);
    let mut known = Fences::default();
    let mut story = String::new();
    for (number, op) in ops.iter().enumerate() {
        let to = match op {
            Op::Clock(by) => Some(oracle.now_us() + by),
            Op::ToExpiry(by) => oracle.next_expiry().map(|at| at + by),
            _ => None,
        };
        if let Some(now_us) = to.filter(|&to| features.steps_back || to > oracle.now_us()) {
            oracle.set_clock(now_us);
            backend.set_clock(now_us);
        }
        // A grant that is remembered no more binds the next one no more.
        if !oracle.remembers() {
            known.oracles.clear();
            known.last = 0;
        }
        known.peak_us = known.peak_us.max(oracle.now_us());
        if matches!(op, Op::Clock(_) | Op::ToExpiry(_)) {
            let at = oracle.now_us() - START_US;
            let _ = writeln!(story, "{number:3}. {op:?}: it is {at} µs");
            continue;
        }
        let (mut expected, mut expected_told) = oracle.step(op);
        let (mut answer, mut told) = backend.step(op);
        let _ = writeln!(story, "{number:3}. {op:?}\n       -> {expected:?} {expected_told:?}");
        let shown = format!("{answer:?} {told:?}");
        if matches!(op, Op::Forget | Op::ForgetRecord) {
            known = Fences::default();
        }
        let expected_fences = fences(&mut expected, &mut expected_told);
        let their_fences = fences(&mut answer, &mut told);
        if (&answer, &told) != (&expected, &expected_told) {
            return Err(Disagreement(format!("{story}       but {shown}")));
        }
        for (&oracles, theirs) in expected_fences.iter().zip(their_fences) {
            let fault = known.fault(oracles, theirs, oracle.now_us(), features.exact_fences);
            if let Some(fault) = fault {
                return Err(Disagreement(format!("{story}       but {shown}\n{fault}")));
            }
        }
    }
    Ok(())
}

fn token() -> impl Strategy<Value = Token> {
    (0_u8..5).prop_map(Token)
}

fn client() -> impl Strategy<Value = Client> {
    (0_u8..3).prop_map(Client)
}

/// The client whose token it is; one has several.
fn client_of(token: Token) -> Client {
    Client(token.0 % 3)
}

fn ttl() -> impl Strategy<Value = i64> {
    select(vec![50, 1000, 1000, 10_000, 10_000, 86_400_000])
}

fn window() -> impl Strategy<Value = i64> {
    select(vec![3000, 10_000, 30_000])
}

fn acquire(features: Features) -> impl Strategy<Value = Op> {
    let told = if features.fetching { 0.8 } else { 1.0 };
    let wish = (
        (token(), ttl(), prop::bool::weighted(0.8), window()),
        (select(vec![0, 0, 0, 1, 3]), prop::bool::weighted(told), select(vec!["", "a b"])),
    );
    wish.prop_map(|((token, ttl, wait, window), (ticket, told, label))| {
        let client = client_of(token);
        Op::Acquire(Wish { token, client, ttl, wait, window, ticket, told, label })
    })
}

fn poll() -> impl Strategy<Value = Op> {
    (client(), window(), vec((token(), ttl()), 1..4)).prop_map(|(client, window, wishes)| {
        let mut own: Vec<_> =
            wishes.into_iter().filter(|(token, _)| client_of(*token) == client).collect();
        if own.is_empty() {
            own.push((Token(client.0), 1000));
        }
        Op::Poll(client, window, own)
    })
}

/// Random sequences of what a backend knows of.
pub fn sequence(features: Features) -> impl Strategy<Value = Vec<Op>> {
    let clock = prop_oneof![
        4 => (0_i64..3000).prop_map(Op::Clock),
        3 => (0_i64..20_000_000).prop_map(Op::Clock),
        1 => (0_i64..150_000_000).prop_map(Op::Clock),
        1 => select(vec![-1, -1000, -70_000_000, -3_600_000_000, 500_000_000_000, 700_000_000_000])
            .prop_map(Op::Clock),
        4 => select(vec![-1001, -1000, -1, 0, 1]).prop_map(Op::ToExpiry),
    ];
    let foreign = prop_oneof![
        select(vec![None, Some(50), Some(5000)]).prop_map(Op::ForeignTake),
        Just(Op::ForeignRelease),
    ];
    let listen = (client(), prop::bool::weighted(0.7));
    let listen = listen.prop_map(|(client, listens)| Op::Listen(client, listens));
    let evict = select(vec![Op::ForgetRecord, Op::Delete, Op::Delete]);
    // Where a backend knows nothing of it, something else takes its place.
    let or_inspect = |known: bool, op: BoxedStrategy<Op>| {
        if known { op } else { Just(Op::Inspect).boxed() }
    };
    let op = prop_oneof![
        12 => acquire(features),
        5 => poll(),
        8 => token().prop_map(Op::Release),
        3 => token().prop_map(Op::Cancel),
        3 => (token(), ttl()).prop_map(|(token, ttl)| Op::Extend(token, ttl)),
        2 => Just(Op::Inspect),
        8 => clock,
        5 => or_inspect(features.listeners, listen.boxed()),
        1 => or_inspect(features.forgets, Just(Op::Forget).boxed()),
        1 => or_inspect(features.eviction, evict.boxed()),
        2 => or_inspect(features.foreigners, foreign.boxed()),
    ];
    vec(op, 1..100)
}

/// The seed of a test with random sequences: `FENCELOCK_SEED`, or another each time.
///
/// # Panics
/// If it is no number.
pub fn seed() -> u64 {
    match std::env::var("FENCELOCK_SEED").as_deref().map(str::parse) {
        Ok(Ok(seed)) => seed,
        Ok(Err(error)) => panic!("FENCELOCK_SEED: {error}"),
        Err(_) => std::process::id().into(),
    }
}

/// Is it a long run (`FENCELOCK_LONG`)? Then ten times as many.
pub fn cases(cases: u32) -> u32 {
    if std::env::var_os("FENCELOCK_LONG").is_some() { cases * 10 } else { cases }
}

/// Runs a test with random values, and prints the seed and the smallest that fails.
///
/// # Panics
/// If one fails.
pub fn check<S: Strategy>(cases: u32, values: &S, test: impl Fn(S::Value) -> Result<(), String>) {
    let seed = seed();
    #[expect(clippy::print_stdout, reason = "a failure must be repeatable")]
    {
        println!("FENCELOCK_SEED={seed}, {cases} sequences");
    }
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let run = |value| test(value).map_err(TestCaseError::fail);
    match TestRunner::new_with_rng(config, rng).run(values, run) {
        Ok(()) => {}
        Err(proptest::test_runner::TestError::Fail(story, _)) => {
            panic!("FENCELOCK_SEED={seed}:\n{story}")
        }
        Err(other) => panic!("FENCELOCK_SEED={seed}: {other}"),
    }
}
