//! Timeouts that cost nothing while nothing expires: a coarse wheel per worker instead of a runtime
//! timer per operation.
//!
//! Setting a deadline is a store into a cell. One task per worker ticks; an entry is looked at when the
//! slot it lies in comes round, and is moved on if its deadline was moved meanwhile. A deadline is
//! never early and at most two ticks late; waits below a second take a precise runtime timer instead.
//! What to do when time is up is left to the caller.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// How far apart the ticks of a worker are.
const TICK: Duration = Duration::from_millis(TICK_MILLIS);
const TICK_MILLIS: u64 = 100;
/// Slots of the wheel; deadlines further away than this many ticks are looked at once per round.
const SLOTS: usize = 256;
/// Below this a deadline would be too coarse.
const PRECISE_BELOW: Duration = Duration::from_secs(1);
const NEVER: u64 = u64::MAX;

/// The time allowed for something has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time allowed has passed")]
pub struct Expired;

/// The wheel of one worker; clones are the same wheel.
#[derive(Clone, Debug)]
pub struct Deadlines {
    wheel: Rc<Wheel>,
}

#[derive(Debug)]
struct Wheel {
    start: Instant,
    /// The current tick, counted from `start`.
    now: Cell<u64>,
    entries: RefCell<Vec<Entry>>,
    free: RefCell<Vec<u32>>,
    slots: RefCell<Vec<Vec<Place>>>,
    /// Places held in slots, stale ones included; with none the ticking stops.
    places: Cell<usize>,
    /// The ticking task, while it sleeps for want of entries.
    parked: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct Entry {
    generation: Cell<u32>,
    deadline: Cell<u64>,
    /// The slot tick of the one place that counts; others of this entry are stale.
    placed: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    entry: u32,
    generation: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self::new()
    }
}

impl Deadlines {
    /// How far apart the ticks are.
    pub const TICK: Duration = TICK;

    #[must_use]
    pub fn new() -> Self {
        Deadlines {
            wheel: Rc::new(Wheel {
                start: Instant::now(),
                now: Cell::new(0),
                entries: RefCell::default(),
                free: RefCell::default(),
                slots: RefCell::new(vec![Vec::new(); SLOTS]),
                places: Cell::new(0),
                parked: RefCell::default(),
            }),
        }
    }

    /// Ticks for ever; run it as one local task of the worker. Without it nothing ever expires.
    pub async fn run(&self) {
        loop {
            poll_fn(|cx| self.wheel.poll_busy(cx)).await;
            tokio::time::sleep(TICK).await;
            self.wheel.advance_to(self.wheel.clock());
        }
    }

    /// A place for one deadline at a time, unset.
    #[must_use]
    pub fn register(&self) -> Deadline {
        Deadline { index: self.wheel.take_entry(), wheel: self.wheel.clone() }
    }

    /// The current tick: changes ten times a second while anything is waited for.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.wheel.now.get()
    }

    /// Whether the ticking task sleeps, so that [`tick`](Self::tick) stands still.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.wheel.places.get() == 0
    }
}

impl Wheel {
    fn clock(&self) -> u64 {
        (self.start.elapsed().as_millis() / TICK.as_millis()) as u64
    }

    fn poll_busy(&self, cx: &Context<'_>) -> Poll<()> {
        if self.places.get() > 0 {
            return Poll::Ready(());
        }
        *self.parked.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn take_entry(&self) -> u32 {
        if let Some(index) = self.free.borrow_mut().pop() {
            return index;
        }
        let mut entries = self.entries.borrow_mut();
        entries.push(Entry {
            generation: Cell::new(0),
            deadline: Cell::new(NEVER),
            placed: Cell::new(NEVER),
            waker: RefCell::default(),
        });
        (entries.len() - 1) as u32
    }

    fn set(&self, index: u32, after: Duration) {
        if after == Duration::MAX {
            return self.clear(index);
        }
        if self.places.get() == 0 {
            // The clock stood still while nothing was waited for.
            self.now.set(self.clock());
        }
        // In 64 bits: a division of 128, as the whole of a duration asks for, is a function call.
        let millis =
            after.as_secs().saturating_mul(1000).saturating_add(u64::from(after.subsec_nanos().div_ceil(1_000_000)));
        let ticks = millis.div_ceil(TICK_MILLIS);
        let deadline = self.now.get().saturating_add(ticks).saturating_add(1);
        let entries = self.entries.borrow();
        let Some(entry) = entries.get(index as usize) else { return };
        entry.deadline.set(deadline);
        if deadline < entry.placed.get() {
            self.place(index, entry);
        }
    }

    fn clear(&self, index: u32) {
        if let Some(entry) = self.entries.borrow().get(index as usize) {
            entry.deadline.set(NEVER);
        }
    }

    fn place(&self, index: u32, entry: &Entry) {
        let at = entry.deadline.get().min(self.now.get() + SLOTS as u64 - 1);
        entry.placed.set(at);
        if let Some(slot) = self.slots.borrow_mut().get_mut(at as usize % SLOTS) {
            slot.push(Place { entry: index, generation: entry.generation.get() });
            self.places.set(self.places.get() + 1);
        }
        if let Some(ticker) = self.parked.borrow_mut().take() {
            ticker.wake();
        }
    }

    fn advance_to(&self, tick: u64) {
        // After a long sleep one round visits every slot.
        let from = self.now.get().max(tick.saturating_sub(SLOTS as u64));
        self.now.set(self.now.get().max(tick));
        for passed in from + 1..=tick {
            self.visit(passed);
        }
    }

    fn visit(&self, tick: u64) {
        let Some(mut places) = self.slots.borrow_mut().get_mut(tick as usize % SLOTS).map(std::mem::take) else {
            return;
        };
        self.places.set(self.places.get() - places.len());
        for place in places.drain(..) {
            let entries = self.entries.borrow();
            let Some(entry) = entries.get(place.entry as usize) else { continue };
            if entry.generation.get() == place.generation && entry.placed.get() <= tick {
                self.look_at(place.entry, entry);
            }
        }
        if let Some(slot) = self.slots.borrow_mut().get_mut(tick as usize % SLOTS)
            && slot.is_empty()
        {
            *slot = places;
        }
    }

    fn look_at(&self, index: u32, entry: &Entry) {
        entry.placed.set(NEVER);
        let deadline = entry.deadline.get();
        if deadline == NEVER {
            return;
        }
        if deadline > self.now.get() {
            return self.place(index, entry);
        }
        if let Some(waker) = entry.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn poll_expired(&self, index: u32, cx: &Context<'_>) -> Poll<()> {
        let entries = self.entries.borrow();
        let Some(entry) = entries.get(index as usize) else { return Poll::Pending };
        if entry.deadline.get() <= self.now.get() {
            return Poll::Ready(());
        }
        let mut waker = entry.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn release(&self, index: u32) {
        if let Some(entry) = self.entries.borrow().get(index as usize) {
            entry.generation.set(entry.generation.get().wrapping_add(1));
            entry.deadline.set(NEVER);
            entry.placed.set(NEVER);
            entry.waker.borrow_mut().take();
        }
        self.free.borrow_mut().push(index);
    }
}

/// One deadline at a time, for one task. Dropping it gives its place back.
#[derive(Debug)]
pub struct Deadline {
    wheel: Rc<Wheel>,
    index: u32,
}

impl Deadline {
    /// Moves the deadline to `after` from now; `Duration::MAX` is never.
    pub fn set(&self, after: Duration) {
        self.wheel.set(self.index, after);
    }

    pub fn clear(&self) {
        self.wheel.clear(self.index);
    }

    /// Ready once the deadline has passed; until then the task is woken when it does.
    pub fn poll_expired(&self, cx: &Context<'_>) -> Poll<()> {
        self.wheel.poll_expired(self.index, cx)
    }

    /// Runs `future` for at most `after`. A future that is ready at once costs no look at the time.
    pub async fn limit<F: Future>(&self, after: Duration, future: F) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        let mut timer = Timer::new(self, after);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => timer.poll_expired(cx).map(|()| Err(Expired)),
        })
        .await
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.wheel.release(self.index);
    }
}

/// One wait of at most `after`: armed when first polled, coarse or precise as its length asks.
#[derive(Debug)]
pub(crate) struct Timer<'a> {
    deadline: &'a Deadline,
    after: Duration,
    armed: bool,
    precise: Option<std::pin::Pin<Box<tokio::time::Sleep>>>,
}

impl<'a> Timer<'a> {
    pub(crate) fn new(deadline: &'a Deadline, after: Duration) -> Self {
        Timer { deadline, after, armed: false, precise: None }
    }

    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.armed {
            self.armed = true;
            if self.after < PRECISE_BELOW {
                self.precise = Some(Box::pin(tokio::time::sleep(self.after)));
            } else {
                self.deadline.set(self.after);
            }
        }
        match &mut self.precise {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => self.deadline.poll_expired(cx),
        }
    }

    /// Starts the wait anew, as after each byte of progress.
    pub(crate) fn restart(&mut self) {
        self.armed = false;
        self.precise = None;
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if self.armed && self.precise.is_none() {
            self.deadline.clear();
        }
    }
}

/// A [`Timer`] whose deadline is registered only if the wait turns out to be one.
pub(crate) struct LazyTimer<'a> {
    deadlines: &'a Deadlines,
    cell: &'a OnceCell<Deadline>,
    after: Duration,
    timer: Option<Timer<'a>>,
}

impl<'a> LazyTimer<'a> {
    pub(crate) fn new(deadlines: &'a Deadlines, cell: &'a OnceCell<Deadline>, after: Duration) -> Self {
        LazyTimer { deadlines, cell, after, timer: None }
    }

    pub(crate) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let LazyTimer { deadlines, cell, after, timer } = self;
        timer.get_or_insert_with(|| Timer::new(cell.get_or_init(|| deadlines.register()), *after)).poll_expired(cx)
    }

    pub(crate) fn restart(&mut self) {
        if let Some(timer) = &mut self.timer {
            timer.restart();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Runs `check` with a ticking wheel on a clock that jumps when everything waits.
    fn with_wheel<F: Future<Output = ()>>(check: impl FnOnce(Deadlines) -> F) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let wheel = runtime.block_on(async { Deadlines::new() });
        let ticking = wheel.clone();
        tokio::task::LocalSet::new().block_on(&runtime, async move {
            tokio::task::spawn_local(async move { ticking.run().await });
            check(wheel).await;
        });
    }

    async fn time_until_expiry(deadline: &Deadline) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| deadline.poll_expired(cx)).await;
        start.elapsed()
    }

    #[test]
    fn a_deadline_is_never_early_and_at_most_two_ticks_late() {
        with_wheel(|wheel| async move {
            for seconds in [1, 5, 24, 26, 75, 200] {
                let deadline = wheel.register();
                let after = Duration::from_secs(seconds);
                deadline.set(after);
                let waited = time_until_expiry(&deadline).await;
                assert!(waited >= after && waited <= after + 2 * TICK, "{after:?} took {waited:?}");
            }
        });
    }

    #[test]
    fn moving_a_deadline_later_moves_the_expiry() {
        with_wheel(|wheel| async move {
            let deadline = wheel.register();
            deadline.set(Duration::from_secs(2));
            tokio::time::sleep(Duration::from_secs(1)).await;
            deadline.set(Duration::from_secs(10));
            let waited = time_until_expiry(&deadline).await;
            assert!(waited >= Duration::from_secs(10) && waited < Duration::from_secs(11), "{waited:?}");
        });
    }

    #[test]
    fn moving_a_deadline_earlier_moves_the_expiry() {
        with_wheel(|wheel| async move {
            let deadline = wheel.register();
            deadline.set(Duration::from_secs(100));
            deadline.set(Duration::from_secs(3));
            let waited = time_until_expiry(&deadline).await;
            assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(4), "{waited:?}");
        });
    }

    #[test]
    fn a_place_given_back_does_not_wake_its_next_owner() {
        with_wheel(|wheel| async move {
            let first = wheel.register();
            first.set(Duration::from_secs(1));
            drop(first);
            let second = wheel.register();
            second.set(Duration::from_secs(5));
            let waited = time_until_expiry(&second).await;
            assert!(waited >= Duration::from_secs(5), "{waited:?}");
        });
    }

    #[test]
    fn the_ticking_stops_when_nothing_is_waited_for() {
        with_wheel(|wheel| async move {
            let deadline = wheel.register();
            deadline.set(Duration::from_secs(1));
            deadline.clear();
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(wheel.idle());
            let before = wheel.tick();
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(wheel.tick(), before);
        });
    }

    #[test]
    fn a_limit_below_a_second_is_precise() {
        with_wheel(|wheel| async move {
            let deadline = wheel.register();
            let start = Instant::now();
            let out = deadline.limit(Duration::from_millis(150), std::future::pending::<()>()).await;
            assert_eq!(out, Err(Expired));
            assert!(start.elapsed() <= Duration::from_millis(152), "{:?}", start.elapsed());
        });
    }

    #[test]
    fn a_future_ready_at_once_arms_nothing() {
        with_wheel(|wheel| async move {
            let deadline = wheel.register();
            assert_eq!(deadline.limit(Duration::from_secs(9), async { 7 }).await, Ok(7));
            assert!(wheel.idle());
        });
    }
}
