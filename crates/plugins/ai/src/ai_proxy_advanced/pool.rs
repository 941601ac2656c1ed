//! Targets with what is known of each: running calls, latency, usage, failures. One pool serves all workers and lives
//! as long as its configuration.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gibbon_balance::value_hash;

use super::config::{Algorithm, Balancer, Count, LatencyStrategy};
use crate::call::Call;
use crate::target::Target;

/// How much a new measurement counts in an average.
const NEW: f64 = 0.3;
/// One choice in so many goes to a target that is not the fastest, so that its figure does not age.
const PROBE: u32 = 32;
const MS: u64 = 1_000_000;

/// The targets of a plugin.
#[derive(Debug)]
pub struct Pool {
    members: Vec<Member>,
    algorithm: Algorithm,
    count: Count,
    latency: LatencyStrategy,
    max_fails: u16,
    fail_timeout_ns: u64,
    turns: Mutex<Vec<i64>>,
    choices: AtomicU32,
}

#[derive(Debug)]
struct Member {
    target: Arc<Target>,
    busy: Arc<AtomicU32>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Average, in nanoseconds; none before the first answer.
    latency: Option<f64>,
    used: f64,
    fails: u32,
    last_fail: u64,
    /// Until when the provider asked to be left alone, in nanoseconds of the monotonic clock.
    rests_until: u64,
}

/// A call that runs at a target, as long as it is held.
#[derive(Debug)]
pub struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub fn new(targets: Vec<Arc<Target>>, rules: &Balancer) -> Self {
        let turns = Mutex::new(vec![0; targets.len()]);
        let member = |target| Member { target, busy: Arc::default(), known: Mutex::default() };
        Pool {
            members: targets.into_iter().map(member).collect(),
            algorithm: rules.algorithm,
            count: rules.tokens_count_strategy,
            latency: rules.latency_strategy,
            max_fails: rules.max_fails,
            fail_timeout_ns: u64::from(rules.fail_timeout) * MS,
            turns,
            choices: AtomicU32::new(0),
        }
    }

    pub fn target(&self, number: usize) -> Option<&Arc<Target>> {
        self.members.get(number).map(|m| &m.target)
    }

    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.members.iter().map(|m| &m.target)
    }

    /// Chooses among `eligible`; those already `tried` only when nobody else is left. `now` is in nanoseconds of the
    /// monotonic clock. None when all are down.
    pub fn choose(&self, eligible: &[usize], tried: &[usize], hash: &[u8], now: u64) -> Option<usize> {
        let up: Vec<usize> = eligible.iter().copied().filter(|&n| self.is_up(n, now)).collect();
        let fresh: Vec<usize> = up.iter().copied().filter(|n| !tried.contains(n)).collect();
        let candidates = if fresh.is_empty() { up } else { fresh };
        match self.algorithm {
            Algorithm::RoundRobin | Algorithm::Semantic => self.turn(&candidates),
            Algorithm::Priority => {
                // Targets of equal weight are one group; the heaviest that has anybody left goes first.
                let top = candidates.iter().map(|&n| self.weight(n)).max()?;
                let group: Vec<usize> = candidates.into_iter().filter(|&n| self.weight(n) == top).collect();
                self.turn(&group)
            }
            Algorithm::LeastConnections => self.lowest(&candidates, |m| f64::from(m.busy.load(Ordering::Relaxed) + 1)),
            Algorithm::LowestUsage => self.lowest(&candidates, |m| lock(&m.known).used),
            Algorithm::LowestLatency => {
                if self.choices.fetch_add(1, Ordering::Relaxed) % PROBE == PROBE - 1 {
                    return self.turn(&candidates);
                }
                // Whoever was never measured comes first. Weight does not make anybody faster.
                let of = |n: &usize| self.members.get(*n).and_then(|m| lock(&m.known).latency).unwrap_or(0.0);
                candidates.into_iter().min_by(|a, b| of(a).total_cmp(&of(b)))
            }
            Algorithm::ConsistentHashing => self.hashed(&candidates, hash),
        }
    }

    /// Takes a place at a target.
    pub fn begin(&self, number: usize) -> Option<Running> {
        let member = self.members.get(number)?;
        member.busy.fetch_add(1, Ordering::Relaxed);
        Some(Running(Arc::clone(&member.busy)))
    }

    /// A try at a target failed; `rest` is how long it asked to be left alone, in milliseconds.
    pub fn failed(&self, number: usize, rest: Option<u64>, now: u64) {
        let Some(member) = self.members.get(number) else { return };
        let mut known = lock(&member.known);
        known.fails = known.fails.saturating_add(1);
        known.last_fail = now;
        if let Some(rest) = rest {
            known.rests_until = now.saturating_add(rest.saturating_mul(MS));
        }
    }

    /// A call at a target is over and went well.
    pub fn ended(&self, number: usize, call: &Call, now: u64) {
        let Some(member) = self.members.get(number) else { return };
        let usage = call.usage();
        let whole = call.ended.max(call.started).saturating_sub(call.started) as f64;
        let took = match self.latency {
            LatencyStrategy::E2e => whole,
            LatencyStrategy::Tpot => whole / usage.output.max(1) as f64,
        };
        let used = match self.count {
            Count::Total | Count::Accuracy => usage.total() as f64,
            Count::Prompt => usage.input as f64,
            Count::Completion => usage.output as f64,
            Count::Cost => call.cost(),
        };
        let mut known = lock(&member.known);
        known.latency = Some(known.latency.map_or(took, |old| old + NEW * (took - old)));
        known.used += used;
        if now.saturating_sub(known.last_fail) >= self.fail_timeout_ns {
            known.fails = 0;
        }
    }

    fn weight(&self, number: usize) -> u16 {
        self.members.get(number).map_or(0, |m| m.target.weight)
    }

    fn is_up(&self, number: usize, now: u64) -> bool {
        let Some(member) = self.members.get(number) else { return false };
        let known = lock(&member.known);
        let broken = self.max_fails > 0
            && known.fails >= u32::from(self.max_fails)
            && now.saturating_sub(known.last_fail) < self.fail_timeout_ns;
        !broken && known.rests_until <= now
    }

    /// Smooth weighted round robin: each gains its weight, the richest is chosen and pays what all gained.
    fn turn(&self, candidates: &[usize]) -> Option<usize> {
        let mut turns = lock(&self.turns);
        let mut total = 0;
        for &n in candidates {
            let weight = i64::from(self.weight(n));
            total += weight;
            if let Some(turn) = turns.get_mut(n) {
                *turn += weight;
            }
        }
        let richest = candidates.iter().copied().max_by_key(|&n| (turns.get(n).copied(), std::cmp::Reverse(n)))?;
        if let Some(turn) = turns.get_mut(richest) {
            *turn -= total;
        }
        Some(richest)
    }

    /// The lowest figure per weight; among equals, whose turn it is.
    fn lowest(&self, candidates: &[usize], figure: impl Fn(&Member) -> f64) -> Option<usize> {
        let of = |n: usize| {
            let member = self.members.get(n);
            member.map_or(f64::INFINITY, |m| figure(m) / f64::from(m.target.weight.max(1)))
        };
        let figures: Vec<f64> = candidates.iter().map(|&n| of(n)).collect();
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let equals: Vec<usize> =
            candidates.iter().zip(&figures).filter(|(_, f)| **f <= least).map(|(n, _)| *n).collect();
        self.turn(&equals)
    }

    /// Rendezvous hashing with weights: a target that comes or goes moves only the values that were or become its own.
    fn hashed(&self, candidates: &[usize], value: &[u8]) -> Option<usize> {
        let score = |n: usize| {
            let mut text = value.to_vec();
            text.extend_from_slice(format!("/{n}").as_bytes());
            let unit = (f64::from(value_hash(&text)) + 1.0) / (f64::from(u32::MAX) + 2.0);
            -f64::from(self.weight(n)) / unit.ln()
        };
        candidates.iter().copied().max_by(|&a, &b| score(a).total_cmp(&score(b)))
    }
}
