//! Telling connections to retire: idle ones close, busy ones finish their exchange first.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

/// One flag shared by any number of connections of a worker; clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    inner: Rc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    begun: Cell<bool>,
    idle_may_close: Cell<bool>,
    waiters: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl Drain {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on clients are told to go: HTTP/1 answers carry `Connection: close`, HTTP/2 sends GOAWAY. HTTP/1
    /// connections that wait for a request stay open until [`begin`](Self::begin): one that closes just when its
    /// client sends the next request looks like a failure (RFC 9112 section 9.5).
    pub fn announce(&self) {
        self.inner.begun.set(true);
        self.wake();
    }

    /// As [`announce`](Self::announce), and connections that wait for a request close.
    pub fn begin(&self) {
        self.inner.idle_may_close.set(true);
        self.announce();
    }

    fn wake(&self) {
        for waiter in self.inner.waiters.borrow_mut().iter_mut().filter_map(Option::take) {
            waiter.wake();
        }
    }

    #[must_use]
    pub fn begun(&self) -> bool {
        self.inner.begun.get()
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch { drain: self.clone(), slot: Cell::new(None) }
    }
}

/// One connection's place among the waiters; taken on its first wait, given back when it ends.
#[derive(Debug)]
pub(crate) struct Watch {
    drain: Drain,
    slot: Cell<Option<usize>>,
}

impl Watch {
    /// Whether draining has begun; if not, the task is woken once it does.
    pub(crate) fn poll_begun(&self, cx: &Context<'_>) -> bool {
        self.drain.begun() || self.wait(cx)
    }

    /// Whether a connection that waits for a request may close; if not, the task is woken once that may have changed.
    pub(crate) fn poll_idle_may_close(&self, cx: &Context<'_>) -> bool {
        self.drain.inner.idle_may_close.get() || self.wait(cx)
    }

    /// Has the task woken at the next step of draining; always false.
    fn wait(&self, cx: &Context<'_>) -> bool {
        let inner = &self.drain.inner;
        let mut waiters = inner.waiters.borrow_mut();
        let slot = self.slot.get().or_else(|| inner.free.borrow_mut().pop()).unwrap_or_else(|| {
            waiters.push(None);
            waiters.len() - 1
        });
        self.slot.set(Some(slot));
        if let Some(waiter) = waiters.get_mut(slot)
            && !waiter.as_ref().is_some_and(|w| w.will_wake(cx.waker()))
        {
            *waiter = Some(cx.waker().clone());
        }
        false
    }

    pub(crate) fn begun(&self) -> bool {
        self.drain.begun()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.get() {
            if let Some(waiter) = self.drain.inner.waiters.borrow_mut().get_mut(slot) {
                *waiter = None;
            }
            self.drain.inner.free.borrow_mut().push(slot);
        }
    }
}
