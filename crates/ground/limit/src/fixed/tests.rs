//! Calendar windows: what passes, what the client is told, and that no count is lost between threads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

/// 2024-02-29T13:37:42.123Z
const NOW: u64 = 1_709_213_862_123;

fn windows() -> FixedWindows {
    FixedWindows::new(1_000, 42)
}

fn allowed(windows: &FixedWindows, limits: &Limits, now_ms: u64, tries: usize) -> usize {
    (0..tries).filter(|_| windows.admit(b"k", limits, 1, now_ms).is_allowed()).count()
}

#[test]
fn as_many_pass_as_the_limit_says_and_the_next_period_starts_anew() {
    let windows = windows();
    let limits = Limits::new().with(Period::Minute, 3.0);
    assert_eq!(allowed(&windows, &limits, NOW, 10), 3);
    assert_eq!(allowed(&windows, &limits, NOW + 17_000, 10), 0, "same minute");
    assert_eq!(allowed(&windows, &limits, NOW + 18_000, 10), 3, "next minute");
}

#[test]
fn refused_requests_are_not_counted_in_any_period() {
    let windows = windows();
    let limits = Limits::new().with(Period::Second, 1.0).with(Period::Minute, 3.0);
    assert_eq!(allowed(&windows, &limits, NOW, 10), 1);
    assert_eq!(allowed(&windows, &limits, NOW + 1_000, 10), 1);
    assert_eq!(allowed(&windows, &limits, NOW + 2_000, 10), 1);
    let last = windows.admit(b"k", &limits, 1, NOW + 3_000);
    assert_eq!(last.stop, Some(Period::Minute));
}

#[test]
fn the_answer_tells_what_is_left_after_this_request() {
    let windows = windows();
    let limits = Limits::new().with(Period::Minute, 2.0).with(Period::Hour, 10.0);
    let shown = |decision: &Decision| decision.usages().map(|u| decision.remaining_shown(&u)).collect::<Vec<_>>();
    let first = windows.admit(b"k", &limits, 1, NOW);
    assert_eq!(shown(&first), [1.0, 9.0]);
    assert_eq!(first.summary(), Some(Summary { limit: 2.0, remaining: 1.0, reset_seconds: 18 }));
    assert_eq!(shown(&windows.admit(b"k", &limits, 1, NOW)), [0.0, 8.0]);
    let refused = windows.admit(b"k", &limits, 1, NOW);
    assert_eq!(refused.stop, Some(Period::Minute));
    assert_eq!(shown(&refused), [0.0, 8.0], "the hour is not charged for what the minute refused");
    assert_eq!(refused.summary(), Some(Summary { limit: 2.0, remaining: 0.0, reset_seconds: 18 }));
}

#[test]
fn among_equals_the_longer_period_is_summed_up() {
    let windows = windows();
    let limits = Limits::new().with(Period::Second, 5.0).with(Period::Minute, 5.0);
    let summary = windows.admit(b"k", &limits, 1, NOW).summary().unwrap();
    assert_eq!((summary.remaining, summary.reset_seconds), (4.0, 18));
}

#[test]
fn resets_count_months_as_30_days_and_never_say_less_than_a_second() {
    let windows = windows();
    let month = Limits::new().with(Period::Month, 5.0);
    // 28 days, 13:37:42 into February.
    let elapsed = 28 * 86_400 + 13 * 3_600 + 37 * 60 + 42;
    let summary = windows.admit(b"k", &month, 1, NOW).summary().unwrap();
    assert_eq!(summary.reset_seconds, 2_592_000 - elapsed);
    let second = Limits::new().with(Period::Second, 5.0);
    assert_eq!(windows.admit(b"k", &second, 1, NOW + 876).summary().unwrap().reset_seconds, 1);
    // The 31st day of a month lies beyond the nominal 30.
    let end_of_january = 1_706_745_600_000 - 1;
    assert_eq!(windows.admit(b"j", &month, 1, end_of_january).summary().unwrap().reset_seconds, 1);
}

#[test]
fn the_longest_period_that_is_used_up_is_the_one_that_stops() {
    let windows = windows();
    let limits = Limits::new().with(Period::Second, 1.0).with(Period::Minute, 1.0);
    windows.admit(b"k", &limits, 1, NOW);
    assert_eq!(windows.admit(b"k", &limits, 1, NOW).stop, Some(Period::Minute));
}

#[test]
fn looking_does_not_count_and_adding_does_not_ask() {
    let windows = windows();
    let limits = Limits::new().with(Period::Day, 10.0);
    assert!(windows.usage(b"k", &limits, NOW).is_allowed());
    assert_eq!(windows.keys(), 0, "looking makes no entry");
    windows.add(b"k", &limits, 25, NOW);
    let usage = windows.usage(b"k", &limits, NOW);
    assert_eq!(usage.usages().next().unwrap().remaining(), -15.0);
    assert_eq!(usage.stop, Some(Period::Day));
}

#[test]
fn keys_are_counted_apart() {
    let windows = windows();
    let limits = Limits::new().with(Period::Year, 1.0);
    assert!(windows.admit(b"a", &limits, 1, NOW).is_allowed());
    assert!(windows.admit(b"b", &limits, 1, NOW).is_allowed());
    assert!(!windows.admit(b"a", &limits, 1, NOW).is_allowed());
}

#[test]
fn a_worker_whose_clock_is_a_moment_behind_does_not_reopen_the_old_window() {
    let windows = windows();
    let limits = Limits::new().with(Period::Second, 1.0);
    assert!(windows.admit(b"k", &limits, 1, NOW).is_allowed());
    assert!(!windows.admit(b"k", &limits, 1, NOW - 200).is_allowed());
    assert!(!windows.admit(b"k", &limits, 1, NOW).is_allowed());
}

#[test]
fn a_clock_set_back_by_hours_does_not_lock_anybody_out() {
    let windows = windows();
    let limits = Limits::new().with(Period::Minute, 1.0);
    assert!(windows.admit(b"k", &limits, 1, NOW).is_allowed());
    assert!(windows.admit(b"k", &limits, 1, NOW - 7_200_000).is_allowed());
}

#[test]
fn four_threads_admit_exactly_the_limit() {
    let windows = windows();
    let limits = Limits::new().with(Period::Hour, 1_000.0).with(Period::Day, 5_000.0);
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| allowed(&windows, &limits, NOW, 2_000))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 1_000);
    assert_eq!(windows.usage(b"k", &limits, NOW).usages().nth(1).unwrap().used, 1_000);
}

#[test]
fn what_does_not_fit_waits_for_the_next_windows_in_order() {
    let windows = windows();
    let limits = Limits::new().with(Period::Second, 2.0);
    let ask = |now_ms| match windows.admit_or_wait(b"k", &limits, now_ms, 2_500) {
        Admission::Now(_) => Some(0),
        Admission::After(wait_ms, _) => Some(wait_ms),
        Admission::Refused(_) => None,
    };
    let waits: Vec<_> = (0..8).map(|_| ask(NOW)).collect();
    // NOW is 123 ms into its second: the next ones begin in 877 and 1877 ms, the one after in 2877.
    assert_eq!(waits, [Some(0), Some(0), Some(877), Some(877), Some(1_877), Some(1_877), None, None]);
    // In the next second the first two of those that waited have taken both places.
    assert_eq!(ask(NOW + 1_000), Some(1_877));
    assert_eq!(ask(NOW + 10_000), Some(0));
}

#[test]
fn a_wait_is_long_enough_for_every_period() {
    let windows = windows();
    let limits = Limits::new().with(Period::Second, 1.0).with(Period::Minute, 1.0);
    assert!(matches!(windows.admit_or_wait(b"k", &limits, NOW, 60_000), Admission::Now(_)));
    assert!(matches!(windows.admit_or_wait(b"k", &limits, NOW, 60_000), Admission::After(17_877, _)));
}

proptest! {
    #[test]
    fn no_window_ever_admits_more_than_its_limit(
        limit in 1_u32..20,
        steps in prop::collection::vec(0_u64..700, 1..200),
    ) {
        let windows = windows();
        let limits = Limits::new().with(Period::Second, f64::from(limit));
        let mut now = NOW;
        let mut admitted = std::collections::HashMap::new();
        for step in steps {
            now += step;
            if windows.admit(b"k", &limits, 1, now).is_allowed() {
                *admitted.entry(now / 1_000).or_insert(0) += 1;
            }
        }
        prop_assert!(admitted.values().all(|count| *count <= limit));
    }

    #[test]
    fn waiting_spreads_over_windows_without_exceeding_any(
        limit in 1_u32..5,
        steps in prop::collection::vec(0_u64..400, 1..120),
    ) {
        let windows = windows();
        let limits = Limits::new().with(Period::Second, f64::from(limit));
        let mut now = NOW;
        let mut due = std::collections::HashMap::new();
        for step in steps {
            now += step;
            let at = match windows.admit_or_wait(b"k", &limits, now, 5_000) {
                Admission::Now(_) => now,
                Admission::After(wait_ms, _) => now + wait_ms,
                Admission::Refused(_) => continue,
            };
            *due.entry(at / 1_000).or_insert(0) += 1;
        }
        prop_assert!(due.values().all(|count| *count <= limit), "{:?}", due);
    }
}
