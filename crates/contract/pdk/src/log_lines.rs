//! Lines of the error log, for plugins that export them. Nothing is kept unless somebody holds a
//! [`LogInterest`]; what is kept is bounded, and the oldest goes first.
//!
//! Lines that name a request stay on the thread that serves it, so that its log phase finds them without a lock. The
//! others wait for whichever exchange ends next.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::RequestId;

/// Lines kept per thread, and of the rest of the program.
const MAX_LINES: usize = 1000;

static INTERESTED: AtomicUsize = AtomicUsize::new(0);
static OTHERS: Mutex<VecDeque<LogLine>> = Mutex::new(VecDeque::new());

thread_local! {
    static OF_REQUESTS: RefCell<VecDeque<LogLine>> = const { RefCell::new(VecDeque::new()) };
}

/// A line of the error log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// `debug`, `info`, `notice`, `warn`, `error`, `crit`, `alert` or `emerg`.
    pub level: &'static str,
    pub message: Box<str>,
    /// The module that said it, and where.
    pub source: &'static str,
    pub line: Option<u32>,
    pub request: Option<RequestId>,
}

/// While one is held, lines are kept.
#[derive(Debug)]
pub struct LogInterest(());

impl Default for LogInterest {
    fn default() -> Self {
        INTERESTED.fetch_add(1, Ordering::Relaxed);
        LogInterest(())
    }
}

impl Drop for LogInterest {
    fn drop(&mut self) {
        INTERESTED.fetch_sub(1, Ordering::Relaxed);
    }
}

impl LogInterest {
    /// Whether lines are kept at all.
    #[must_use]
    pub fn exists() -> bool {
        INTERESTED.load(Ordering::Relaxed) > 0
    }

    /// What was said of a request, which stays, and of nothing in particular, which is gone then.
    #[must_use]
    pub fn lines(&self, request: RequestId) -> Vec<LogLine> {
        let mut lines: Vec<LogLine> = OTHERS.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        OF_REQUESTS.with_borrow(|kept| lines.extend(kept.iter().filter(|line| line.request == Some(request)).cloned()));
        lines
    }
}

/// Keeps a line if somebody is interested.
pub fn keep_log_line(line: LogLine) {
    if !LogInterest::exists() {
        return;
    }
    if line.request.is_some() {
        // A line about keeping lines is left out.
        OF_REQUESTS.with(|kept| kept.try_borrow_mut().map(|mut kept| put(&mut kept, line)).unwrap_or_default());
    } else {
        put(&mut OTHERS.lock().unwrap_or_else(PoisonError::into_inner), line);
    }
}

/// The exchange is over: its lines are not needed any more.
pub fn forget_log_lines(request: RequestId) {
    if !LogInterest::exists() {
        return;
    }
    OF_REQUESTS.with_borrow_mut(|kept| kept.retain(|line| line.request != Some(request)));
}

fn put(kept: &mut VecDeque<LogLine>, line: LogLine) {
    if kept.len() >= MAX_LINES {
        kept.pop_front();
    }
    kept.push_back(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str, request: Option<RequestId>) -> LogLine {
        LogLine { time_ns: 1, level: "warn", message: message.into(), source: "test", line: None, request }
    }

    #[test]
    fn lines_are_kept_while_somebody_is_interested_and_bounded() {
        let request = RequestId([7; 16]);
        keep_log_line(line("early", Some(request)));
        let interest = LogInterest::default();
        for _ in 0..2 * MAX_LINES {
            keep_log_line(line("mine", Some(request)));
        }
        keep_log_line(line("nobody's", None));
        let said = |lines: Vec<LogLine>| lines.iter().filter(|line| &*line.message == "nobody's").count();
        assert_eq!(said(interest.lines(RequestId([8; 16]))), 1);
        let mine = interest.lines(request);
        assert_eq!((said(mine.clone()), mine.len()), (0, MAX_LINES));
        forget_log_lines(request);
        assert!(interest.lines(request).is_empty());
    }
}
