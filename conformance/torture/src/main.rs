//! `make torture`: tortures fencelock for a while, and says what came of it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command-line tool")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use fencelock_conformance::backend::Backend;
use fencelock_torture::check::check;
use fencelock_torture::run::{BOUNDS, Config, run};
use fencelock_torture::{log, report};

const USAGE: &str = "\
torture [--seconds N] [--seed N] [--backend redis|file] [--processes N] [--report FILE] [--log FILE]
    60 seconds, a random seed, redis, 2 processes of each language.
torture --check LOG
    judges a log that was kept once more.
    FENCELOCK_REDIS_SERVER names another server than redis-server.";

struct Arguments {
    config: Config,
    report: Option<PathBuf>,
    keep: bool,
}

fn read(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut words = words;
    let (mut seconds, mut seed, mut processes) = (60, fastrand::u64(..1_000_000_000), 2);
    let (mut backend, mut report, mut log) = (Backend::Redis, None, None);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("{word} {value}: not a whole number"));
        match word.as_str() {
            "--seconds" => seconds = number()?,
            "--seed" => seed = number()?,
            "--processes" => processes = value.parse().map_err(|_| format!("{word} {value}"))?,
            "--backend" => {
                let found = Backend::ALL.into_iter().find(|backend| backend.name() == value);
                backend = found.ok_or_else(|| format!("no backend {value}"))?;
            }
            "--report" => report = Some(PathBuf::from(value)),
            "--log" => log = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown: {word}")),
        }
    }
    let keep = log.is_some();
    let of_this_run = || std::env::temp_dir().join(format!("fencelock-torture-{seed}.log"));
    let log = log.unwrap_or_else(of_this_run);
    let mut config = Config::new(backend, Duration::from_secs(seconds), seed, log);
    config.processes = processes;
    Ok(Arguments { config, report, keep })
}

/// Judges a log once more.
fn judge(log: &Path) -> ExitCode {
    match log::read(log) {
        Ok(events) => {
            let verdict = check(events, &BOUNDS);
            print!("{}", report::verdict(&verdict));
            ExitCode::from(u8::from(!verdict.violations.is_empty()))
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::from(2)
        }
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if let (Some("--check"), Some(log)) = (words.next().as_deref(), words.next()) {
        return judge(Path::new(&log));
    }
    let Arguments { config, report, keep } = match read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    println!(
        "torture: seed {}, {} s on {}; log: {}",
        config.seed,
        config.time.as_secs(),
        config.backend.name(),
        config.log.display()
    );
    let outcome = match run(&config) {
        Ok(outcome) => outcome,
        Err(why) => {
            eprintln!("torture: {why}");
            return ExitCode::from(2);
        }
    };
    print!("{}", report::text(&config, &outcome));
    if let Some(file) = report {
        let written = std::fs::write(&file, format!("{:#}\n", report::json(&config, &outcome)));
        if let Err(error) = written {
            eprintln!("torture: {}: {error}", file.display());
            return ExitCode::from(2);
        }
    }
    if outcome.verdict.violations.is_empty() {
        if !keep {
            let _ = std::fs::remove_file(&config.log);
        }
        return ExitCode::SUCCESS;
    }
    println!("the log is kept: {}", config.log.display());
    ExitCode::FAILURE
}
