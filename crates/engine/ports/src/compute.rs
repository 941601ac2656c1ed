//! Threads for work that would hold a worker up: password hashing, signatures, large documents.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use gibbon_pdk::{Compute, LocalFuture, Metrics, SendFuture};
use tokio::sync::oneshot;

/// Jobs that may wait; a flood of expensive requests is refused rather than queued for minutes.
const WAITING: usize = 1024;
/// Counter of refused jobs.
const REFUSED: &str = "gibbon_compute_refused_total";

type Outcome = Box<dyn Any + Send>;
type Work = Box<dyn FnOnce() -> Outcome + Send>;

struct Job {
    work: Work,
    tell: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct Desk {
    jobs: Mutex<Jobs>,
    arrived: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    closed: bool,
}

/// The pool. Dropping it lets the threads finish what waits, and end.
pub struct ComputePool {
    desk: Arc<Desk>,
    metrics: Arc<dyn Metrics>,
}

impl ComputePool {
    /// # Errors
    /// A thread cannot be started.
    pub fn start(threads: usize, metrics: Arc<dyn Metrics>) -> std::io::Result<Self> {
        let desk = Arc::new(Desk::default());
        for number in 0..threads.max(1) {
            let desk = Arc::clone(&desk);
            std::thread::Builder::new().name(format!("compute-{number}")).spawn(move || desk.work())?;
        }
        Ok(ComputePool { desk, metrics })
    }
}

impl Drop for ComputePool {
    fn drop(&mut self) {
        self.desk.jobs.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.desk.arrived.notify_all();
    }
}

impl Desk {
    fn work(&self) {
        while let Some(job) = self.next() {
            // Who no longer waits (the client is gone) needs no answer.
            if job.tell.is_closed() {
                continue;
            }
            if let Ok(outcome) = catch_unwind(AssertUnwindSafe(job.work)) {
                let _ = job.tell.send(outcome);
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            if jobs.closed {
                return None;
            }
            jobs = self.arrived.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Compute for ComputePool {
    fn run(&self, work: Work) -> LocalFuture<'static, Option<Outcome>> {
        self.run_for_control(work)
    }

    fn run_for_control(&self, work: Work) -> SendFuture<'static, Option<Outcome>> {
        let (tell, told) = oneshot::channel();
        let mut jobs = self.desk.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.waiting.len() >= WAITING {
            drop(jobs);
            self.metrics.add(REFUSED, &[], 1);
            return Box::pin(async { None });
        }
        jobs.waiting.push_back(Job { work, tell });
        drop(jobs);
        self.desk.arrived.notify_one();
        Box::pin(async move { told.await.ok() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use serde_json::Value;

    use super::*;

    #[derive(Default)]
    struct Refused(AtomicU64);

    impl Metrics for Refused {
        fn add(&self, name: &'static str, _: &[(&'static str, &str)], by: u64) {
            assert_eq!(name, REFUSED);
            self.0.fetch_add(by, Ordering::Relaxed);
        }

        fn engine_snapshot(&self) -> Value {
            Value::Null
        }
    }

    #[tokio::test]
    async fn work_comes_back_and_a_panic_costs_only_its_own_job() {
        let pool = ComputePool::start(1, Arc::new(Refused::default())).unwrap();
        assert!(pool.run(Box::new(|| panic!("a bug"))).await.is_none());
        let outcome = pool.run(Box::new(|| Box::new(42u8))).await.unwrap();
        assert_eq!(outcome.downcast_ref::<u8>(), Some(&42));
    }

    #[tokio::test]
    async fn more_than_1024_waiting_jobs_are_refused_and_counted() {
        let refused = Arc::new(Refused::default());
        let pool = ComputePool::start(1, refused.clone()).unwrap();
        let (begun, has_begun) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let first = pool.run(Box::new(move || {
            begun.send(()).unwrap();
            let _ = ended.recv();
            Box::new(())
        }));
        has_begun.recv().unwrap();
        let waiting: Vec<_> = (0..WAITING).map(|_| pool.run(Box::new(|| Box::new(())))).collect();
        assert!(pool.run(Box::new(|| Box::new(()))).await.is_none());
        assert_eq!(refused.0.load(Ordering::Relaxed), 1);
        drop(end);
        first.await.unwrap();
        for one in waiting {
            one.await.unwrap();
        }
    }
}
