//! A panic ends its exchange with a 500 and a metric, never the worker.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// A panic happened; the hook has told it to the log.
#[derive(Debug)]
pub struct Panicked;

/// Awaits a future that may panic. What it held is dropped; state shared with others must not be left
/// borrowed across its awaits.
pub async fn catch<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_nothing_more() {
        assert!(catch(async { panic!("on purpose") }).await.is_err());
        assert!(matches!(catch(async { 1 }).await, Ok(1)));
    }
}
