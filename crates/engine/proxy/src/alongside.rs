//! Two things at once on one thread: a main future, and another that is driven beside it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// A future that goes on across several awaits of others. Once ready it keeps its output.
pub enum Beside<'f, F: Future> {
    Running(Pin<&'f mut F>),
    Ready(Option<F::Output>),
}

impl<'f, F: Future> Beside<'f, F> {
    pub fn new(future: Pin<&'f mut F>) -> Self {
        Beside::Running(future)
    }

    /// The output, once.
    pub fn take(&mut self) -> Option<F::Output> {
        match self {
            Beside::Running(_) => None,
            Beside::Ready(output) => output.take(),
        }
    }

    /// Whether the output is there and was not taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self, Beside::Ready(Some(_)))
    }

    fn poll(&mut self, cx: &mut std::task::Context<'_>) {
        if let Beside::Running(future) = self
            && let Poll::Ready(output) = future.as_mut().poll(cx)
        {
            *self = Beside::Ready(Some(output));
        }
    }

    /// Awaits `main`, driving this future beside it. The main future is looked at first, so that what is
    /// ready at once costs nothing more.
    pub async fn drive<M: Future>(&mut self, mut main: Pin<&mut M>) -> M::Output {
        poll_fn(|cx| {
            if let Poll::Ready(output) = main.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            self.poll(cx);
            Poll::Pending
        })
        .await
    }

    /// As [`drive`](Self::drive), but ends with `None` as soon as this future has an output. Once this future had its
    /// chance to begin, the main one is looked at first: nearly always it is why the task was woken.
    pub async fn race<M: Future>(&mut self, mut main: Pin<&mut M>) -> Option<M::Output> {
        let mut begun = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut begun, true)
                && let Poll::Ready(output) = main.as_mut().poll(cx)
            {
                return Poll::Ready(Some(output));
            }
            self.poll(cx);
            if self.is_ready() {
                return Poll::Ready(None);
            }
            // What this future did may be what the main one waits for.
            main.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn the_side_future_goes_on_across_awaits() {
        let side = pin!(async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            7
        });
        let mut beside = Beside::new(side);
        assert_eq!(beside.drive(pin!(tokio::task::yield_now())).await, ());
        while !beside.is_ready() {
            beside.drive(pin!(tokio::task::yield_now())).await;
        }
        assert_eq!(beside.take(), Some(7));
    }

    #[tokio::test]
    async fn a_race_ends_with_whoever_is_first() {
        let side = pin!(std::future::ready(1));
        assert!(Beside::new(side).race(pin!(std::future::pending::<()>())).await.is_none());
        let side = pin!(std::future::pending::<()>());
        assert_eq!(Beside::new(side).race(pin!(std::future::ready(2))).await, Some(2));
    }
}
