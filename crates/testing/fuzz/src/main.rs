//! `gibbon-fuzz [--seconds N] [--seed N] [--folder fuzz] [--input FILE] [TARGET...]`: all targets without names.
//!
//! Two targets run at a time. The exit code is 1 when something was found; the finding lies under `fuzz/out/`, and
//! `--input FILE TARGET` runs it once more on its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use gibbon_fuzz::campaign::{Outcome, run};
use gibbon_fuzz::targets::{TARGETS, Target};

struct Options {
    seconds: u64,
    seed: u64,
    folder: PathBuf,
    input: Option<PathBuf>,
    targets: Vec<&'static Target>,
}

fn options() -> Result<Options> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let mut options = Options { seconds: 60, seed, folder: "fuzz".into(), input: None, targets: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} wants a value"));
        match word.as_str() {
            "--seconds" => options.seconds = value()?.parse().context("--seconds wants a number")?,
            "--seed" => options.seed = value()?.parse().context("--seed wants a number")?,
            "--folder" => options.folder = value()?.into(),
            "--input" => options.input = Some(value()?.into()),
            name => match TARGETS.iter().find(|target| target.name == name) {
                Some(target) => options.targets.push(target),
                None => bail!("no target {name:?}; there are {}", names()),
            },
        }
    }
    if options.targets.is_empty() {
        options.targets = TARGETS.iter().collect();
    }
    Ok(options)
}

fn names() -> String {
    TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ")
}

fn main() -> Result<ExitCode> {
    let options = options()?;
    if let Some(path) = &options.input {
        ensure!(options.targets.len() == 1, "--input wants one target: {}", names());
        let input = std::fs::read(path)?;
        options.targets.iter().for_each(|target| (target.run)(&input));
        println!("no panic");
        return Ok(ExitCode::SUCCESS);
    }
    println!("seed {}", options.seed);
    let waiting = Mutex::new(options.targets.clone());
    let next = || waiting.lock().ok()?.pop();
    let worker = || {
        let mut findings = 0;
        while let Some(target) = next() {
            findings += u64::from(!campaign(target, &options));
        }
        findings
    };
    let findings = std::thread::scope(|scope| {
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        workers.map(|worker| worker.join().unwrap_or(1)).iter().sum::<u64>()
    });
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one target and says how it went; false if something was found.
fn campaign(target: &'static Target, options: &Options) -> bool {
    let outcome = run(target, &options.folder, options.seed, Duration::from_secs(options.seconds));
    match &outcome {
        Ok(Outcome::Clean(count)) => println!("fuzz {:20} {count} inputs, nothing found", target.name),
        Ok(Outcome::Panicked(path)) => println!("fuzz {:20} PANIC on {}", target.name, path.display()),
        Ok(Outcome::Hung(path)) => println!("fuzz {:20} HANG on {}", target.name, path.display()),
        Err(error) => println!("fuzz {:20} could not run: {error:#}", target.name),
    }
    matches!(outcome, Ok(Outcome::Clean(_)))
}
