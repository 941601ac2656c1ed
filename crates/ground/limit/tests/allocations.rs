//! Deciding about a key that is already known allocates nothing.
#![allow(unsafe_code)] // A counting allocator cannot be written without.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gibbon_limit::{FixedWindows, Limits, Period, Rate, RollingWindows, TokenBuckets, WindowKind, WindowLimit};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn a_known_key_is_decided_about_without_allocating() {
    let key = b"ratelimit:route:service:consumer";
    let fixed = FixedWindows::new(1_000, 1);
    let rolling = RollingWindows::new(1_000, 1);
    let buckets = TokenBuckets::new(1_000, 1);
    let limits = Limits::new().with(Period::Second, 5.0).with(Period::Hour, 50.0);
    let windows = [WindowLimit { limit: 5.0, size_ms: 1_000 }, WindowLimit { limit: 50.0, size_ms: 60_000 }];
    let rate = Rate { per_second: 1.0, burst: 2.0 };
    let decide = |now_ms: u64| {
        fixed.admit(key, &limits, 1, now_ms).summary().unwrap();
        fixed.admit_or_wait(key, &limits, now_ms, 5_000);
        rolling.admit(key, &windows, WindowKind::Sliding, 1, true, now_ms);
        buckets.take(key, &rate, 1.0, now_ms * 1_000_000, 0);
    };
    decide(1_000);
    assert_eq!(allocations(|| (1_000..21_000).step_by(100).for_each(decide)), 0);
}
