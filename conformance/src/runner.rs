//! Which scenarios there are, and with whom each is played.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::backend::Backend;
use crate::driver::Language;
use crate::kit::boot_nanos;
use crate::stage::Stage;
use crate::stall;

/// How many scenarios run at a time: they wait far more than they compute.
const AT_ONCE: usize = 8;
/// How often a scenario is played at most while the machine stands still again and again.
const TRIES: usize = 3;

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    name: &'static str,
    roles: usize,
    needs: &'static str,
    /// The only backend that it is about.
    on: Option<Backend>,
    play: fn(&Stage),
}

impl Scenario {
    /// A scenario for each language alone.
    pub const fn solo(name: &'static str, play: fn(&Stage)) -> Self {
        Self { name, roles: 1, needs: "", on: None, play }
    }

    /// A scenario where two parties meet, for each language with itself and with others.
    pub const fn pair(name: &'static str, play: fn(&Stage)) -> Self {
        Self { name, roles: 2, needs: "", on: None, play }
    }

    /// Only for languages whose driver can do this; it has the first role.
    #[must_use]
    pub const fn needs(mut self, needs: &'static str) -> Self {
        self.needs = needs;
        self
    }

    /// Only on this backend: it is about what that one alone has, such as a server's wire.
    #[must_use]
    pub const fn on(mut self, backend: Backend) -> Self {
        self.on = Some(backend);
        self
    }

    /// Who plays it. Each language meets itself and the next in the list, without the square of
    /// their number; with `FENCELOCK_LONG=1` the next meets it in turn, too.
    fn casts(&self, languages: &'static [Language]) -> Vec<Vec<&'static Language>> {
        let count = languages.len();
        let mut casts = Vec::new();
        for (i, language) in languages.iter().enumerate() {
            if self.roles == 1 {
                casts.push(vec![language]);
                continue;
            }
            let mut others = vec![i, (i + 1) % count];
            if is_long() {
                others.push((i + count - 1) % count);
            }
            others.sort_unstable();
            others.dedup();
            casts.extend(others.into_iter().map(|j| vec![language, &languages[j]]));
        }
        casts.retain(|cast| self.needs.is_empty() || cast[0].can.contains(&self.needs));
        casts
    }

    fn trials(self, languages: &'static [Language], backend: Backend) -> Vec<Trial> {
        if self.on.is_some_and(|on| on != backend) {
            return Vec::new();
        }
        let trial = |cast: Vec<&'static Language>| {
            let names: Vec<&str> = cast.iter().map(|language| language.name).collect();
            let name = format!("{}::{}", self.name, names.join("+"));
            // Names that were known before there were two backends stay as they were.
            let name = match backend {
                Backend::Redis => name,
                Backend::File => format!("{name}@{}", backend.name()),
            };
            Trial::test(name, move || run(self.play, &cast, backend))
        };
        self.casts(languages).into_iter().map(trial).collect()
    }
}

/// Whether there is time for more (`make test-all`).
pub fn is_long() -> bool {
    std::env::var_os("FENCELOCK_LONG").is_some_and(|value| value == "1")
}

/// The backends to play on, by `FENCELOCK_CONFORMANCE_ON`; all unless it is set.
fn backends() -> Vec<Backend> {
    let Ok(named) = std::env::var("FENCELOCK_CONFORMANCE_ON") else {
        // How drivers reach a server says nothing about a file.
        let via = std::env::var_os("FENCELOCK_CONFORMANCE_VIA").is_some();
        return if via { vec![Backend::Redis] } else { Backend::ALL.to_vec() };
    };
    let found: Vec<Backend> =
        Backend::ALL.into_iter().filter(|backend| backend.name() == named).collect();
    assert!(!found.is_empty(), "FENCELOCK_CONFORMANCE_ON is {named:?}, not redis or file");
    found
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs something that may panic; gives the panic's text then.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| PANIC.with_borrow(Clone::clone))
}

/// Plays a scenario; again if it failed while the machine stood still.
#[expect(clippy::print_stderr, reason = "a scenario that was played again is worth a line")]
fn run(play: fn(&Stage), cast: &[&'static Language], backend: Backend) -> Result<(), Failed> {
    for _ in 1..TRIES {
        let begun = boot_nanos();
        let result = once(play, cast, backend);
        match (&result, stall::since(begun)) {
            (Err(_), Some(took)) => eprintln!("played again: the machine stood still for {took:?}"),
            _ => return result,
        }
    }
    once(play, cast, backend)
}

/// Plays a scenario, and judges what every scenario must leave behind.
fn once(play: fn(&Stage), cast: &[&'static Language], backend: Backend) -> Result<(), Failed> {
    let stage = guarded(|| Stage::open(cast.to_vec(), backend))?;
    let played = guarded(|| {
        play(&stage);
        stage.verdict()
    });
    let result = played.and_then(|verdict| verdict);
    result.map_err(|why| format!("{why}\n{}", stage.transcripts()).into())
}

/// Plays all scenarios that the command line asks for, as `cargo test` does.
#[expect(clippy::print_stdout, reason = "what is played is worth a line")]
pub fn main(scenarios: &[Scenario], languages: &'static [Language]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        PANIC.with_borrow_mut(|last| *last = text);
    }));
    stall::watch();
    let mut trials = Vec::new();
    for backend in backends() {
        let before = trials.len();
        trials.extend(scenarios.iter().flat_map(|scenario| scenario.trials(languages, backend)));
        let other = scenarios.iter().filter(|scenario| scenario.on.is_some_and(|on| on != backend));
        if !arguments.list {
            println!(
                "on {}: {} trials; {} scenarios are about another backend alone",
                backend.name(),
                trials.len() - before,
                other.count()
            );
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
