//! Ids of traces and spans, and shares of what is sent; drawn in batches: asking the generator for each would cost more than the rest of the
//! header work together.

use std::cell::RefCell;

use gibbon_pdk::{Random, SpanId, TraceId};

/// Bytes drawn at once.
const BATCH: usize = 4096;

struct Batch {
    bytes: [u8; BATCH],
    used: usize,
}

thread_local! {
    /// Workers are threads, so nothing is shared and nothing is locked.
    static DRAWN: RefCell<Batch> = const { RefCell::new(Batch { bytes: [0; BATCH], used: BATCH }) };
}

/// Random bytes that are not all zero: zero means "no id" in every format.
fn draw<const N: usize>(random: &dyn Random) -> [u8; N] {
    DRAWN.with_borrow_mut(|batch| {
        if batch.used + N > BATCH {
            random.fill(&mut batch.bytes);
            batch.used = 0;
        }
        let drawn = batch.bytes.get(batch.used..batch.used + N).and_then(|bytes| bytes.try_into().ok());
        batch.used += N;
        let mut id: [u8; N] = drawn.unwrap_or([0; N]);
        if id.iter().all(|byte| *byte == 0)
            && let Some(last) = id.last_mut()
        {
            *last = 1;
        }
        id
    })
}

pub fn trace_id(random: &dyn Random) -> TraceId {
    draw(random)
}

pub fn span_id(random: &dyn Random) -> SpanId {
    draw(random)
}

/// A number from 0 (included) to 1 (excluded).
pub fn fraction(random: &dyn Random) -> f64 {
    (u64::from_be_bytes(draw(random)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Whether a share of what is measured includes this one: who sends a rate along makes the receiver count that much more.
pub fn is_sampled(random: &dyn Random, rate: Option<f64>) -> bool {
    rate.is_none_or(|rate| rate >= 1.0 || fraction(random) < rate)
}

/// Whether a share of all traces includes this one. It follows from the id, so that every service that takes the same
/// share keeps the same traces; the last eight bytes decide, since those are random in every format.
pub fn keeps(trace: &TraceId, share: f64) -> bool {
    let last = trace.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    share >= 1.0 || (last as f64) < share * u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use gibbon_rig::FakeRandom;

    use super::*;

    #[test]
    fn ids_differ_across_batches_and_are_never_zero() {
        let random = FakeRandom::default();
        let mut seen: Vec<SpanId> = (0..3 * BATCH / 8).map(|_| span_id(&random)).collect();
        assert!(seen.iter().all(|id| *id != [0; 8]));
        seen.dedup();
        assert!(seen.len() > BATCH / 8);
        assert!((0.0..1.0).contains(&fraction(&random)));
    }

    #[test]
    fn a_share_of_traces_follows_from_their_ids() {
        let of = |last: u64| {
            let mut id = [9; 16];
            id.last_chunk_mut::<8>().into_iter().for_each(|place| *place = last.to_be_bytes());
            id
        };
        assert!(keeps(&of(u64::MAX), 1.0) && !keeps(&of(0), 0.0));
        assert!(keeps(&of(u64::MAX / 100 - 1000), 0.01) && !keeps(&of(u64::MAX / 50), 0.01));
    }
}
