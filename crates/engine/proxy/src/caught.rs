//! A panic ends its exchange with a 500, a line in the error log and a metric, never the worker.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

thread_local! {
    /// Whether this thread is within [`guard`], and so whoever is told of a panic knows the exchange.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A panic happened: what it said, and where.
#[derive(Debug)]
pub struct Panicked(pub String);

/// Has panics told to the error log instead of standard error: with its exchange by whoever caught it, or at once where no
/// exchange is known. With `RUST_BACKTRACE` set, standard error gets what it always gets too.
pub fn log_panics() {
    let usual = std::panic::take_hook();
    let with_trace = std::env::var_os("RUST_BACKTRACE").is_some();
    std::panic::set_hook(Box::new(move |info| {
        let what = description(info);
        if GUARDED.get() {
            LAST.with_borrow_mut(|last| *last = what);
        } else {
            tracing::error!(severity = "crit", "panic: {what}");
        }
        if with_trace {
            usual(info);
        }
    }));
}

fn description(info: &PanicHookInfo<'_>) -> String {
    let said = info.payload_as_str().unwrap_or("no message");
    match info.location() {
        Some(at) => format!("{said} at {}:{}", at.file(), at.line()),
        None => said.to_owned(),
    }
}

/// Awaits a future that may panic. What it held is dropped; state shared with others must not be left
/// borrowed across its awaits. It is taken pinned: by value it would be held, and moved, twice.
pub async fn catch<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panicked> {
    poll_fn(|cx| match guard(|| future.as_mut().poll(cx)) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// As [`catch`], for what does not wait.
pub fn guard<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    let outer = GUARDED.replace(true);
    let ended = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(outer);
    ended.map_err(|_| Panicked(LAST.take()))
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_that_says_what_and_where_and_nothing_more() {
        log_panics();
        let Err(Panicked(what)) = catch(pin!(async {
            if true {
                panic!("on purpose")
            }
        }))
        .await
        else {
            panic!("not caught")
        };
        assert!(what.starts_with("on purpose at ") && what.contains("caught.rs:"), "{what}");
        assert!(matches!(catch(pin!(async { 1 })).await, Ok(1)));
        assert!(guard(|| panic!("again")).is_err_and(|Panicked(what)| what.starts_with("again")));
    }
}
