//! A panic ends its exchange with a 500 and a metric, never the worker.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// A panic happened; the hook has told it to the log.
#[derive(Debug)]
pub struct Panicked;

/// Awaits a future that may panic. What it held is dropped; state shared with others must not be left
/// borrowed across its awaits. It is taken pinned: by value it would be held, and moved, twice.
pub async fn catch<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panicked> {
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
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_nothing_more() {
        assert!(catch(pin!(async { panic!("on purpose") })).await.is_err());
        assert!(matches!(catch(pin!(async { 1 })).await, Ok(1)));
    }
}
