//! Running a target over its corpus and then over mutations of it for a given time, catching panics and hangs.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::mutation::{Random, mutate};
use crate::targets::Target;

/// One input may take this long; parsers take microseconds, and a debug build on a busy machine still stays far below.
const PATIENCE: Duration = Duration::from_secs(10);
/// Inputs between two looks at the clock.
const BATCH: u64 = 256;

/// What a campaign came to.
#[derive(Debug)]
pub enum Outcome {
    /// No finding in so many inputs.
    Clean(u64),
    /// The target panicked on an input, which was written here.
    Panicked(PathBuf),
    /// The target did not come back from an input, which was written here.
    Hung(PathBuf),
}

/// Feeds the corpus and then mutated inputs to a target until the time is up or something is found.
///
/// # Errors
/// When the corpus cannot be read or a finding cannot be written.
pub fn run(target: &'static Target, folder: &Path, seed: u64, time: Duration) -> Result<Outcome> {
    let corpus = read_corpus(&folder.join("corpus").join(target.name))?;
    // The input at work, so that the watcher can write down what hung.
    let current = Arc::new(Mutex::new(Vec::new()));
    let (report, reports) = channel();
    let at_work = Arc::clone(&current);
    std::thread::spawn(move || {
        let mut random = Random::new(seed);
        let (began, mut count) = (Instant::now(), 0);
        let mut replay = corpus.iter().cloned();
        loop {
            let input = replay.next().unwrap_or_else(|| mutate(&mut random, &corpus, target.words));
            at_work.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&input);
            if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
                return report.send(Report::Panicked(input));
            }
            count += 1;
            if count % BATCH == 0 || replay.len() > 0 {
                report.send(Report::Alive)?;
                if began.elapsed() >= time && replay.len() == 0 {
                    return report.send(Report::Done(count));
                }
            }
        }
    });
    loop {
        match reports.recv_timeout(PATIENCE) {
            Ok(Report::Alive) => {}
            Ok(Report::Done(count)) => return Ok(Outcome::Clean(count)),
            Ok(Report::Panicked(input)) => return Ok(Outcome::Panicked(write_finding(folder, target, &input)?)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let input = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
                return Ok(Outcome::Hung(write_finding(folder, target, &input)?));
            }
        }
    }
}

enum Report {
    Alive,
    Panicked(Vec<u8>),
    Done(u64),
}

fn read_corpus(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no corpus in {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    files.iter().map(|path| fs::read(path).with_context(|| path.display().to_string())).collect()
}

fn write_finding(folder: &Path, target: &Target, input: &[u8]) -> Result<PathBuf> {
    // The name is the content's, so that the same finding is one file.
    let hash = input
        .iter()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3));
    let path = folder.join("out").join(format!("{}-{hash:016x}", target.name));
    fs::create_dir_all(folder.join("out"))?;
    fs::write(&path, input)?;
    Ok(path)
}
