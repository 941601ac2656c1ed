//! Metrics: sums and distributions since a beginning.

use super::Message;
use super::records::{Value, attribute};

/// Of everything since the beginning.
const CUMULATIVE: u64 = 2;

/// From when to when (nanoseconds since the epoch) values were added up.
#[derive(Clone, Copy)]
pub struct TimeSpan {
    pub start_ns: u64,
    pub end_ns: u64,
}

/// Values by bounds: `counts` has one more than `bounds`, for what is beyond the last.
pub struct Distribution<'a> {
    pub count: u64,
    pub sum: f64,
    pub bounds: &'a [f64],
    pub counts: &'a [u64],
}

type Attributes<'a> = &'a [(&'a str, Value<'a>)];

/// A metric that only grows.
pub fn sum<'a>(name: &str, unit: &str, over: TimeSpan, points: impl Iterator<Item = (Attributes<'a>, u64)>) -> Vec<u8> {
    metric(name, unit, 7, |sum| {
        for (attributes, value) in points {
            sum.message(1, |point| {
                times(point, over);
                point.fixed64(6, value);
                attributes.iter().for_each(|(name, value)| attribute(point, 7, name, value));
            });
        }
        sum.varint(2, CUMULATIVE);
        sum.varint(3, 1);
    })
}

/// A metric of distributions.
pub fn histogram(
    name: &str,
    unit: &str,
    over: TimeSpan,
    points: &[(Vec<(&str, Value<'_>)>, Distribution<'_>)],
) -> Vec<u8> {
    metric(name, unit, 9, |histogram| {
        for (attributes, values) in points {
            histogram.message(1, |point| {
                times(point, over);
                point.fixed64(4, values.count);
                point.double(5, values.sum);
                point.bytes(6, &values.counts.iter().flat_map(|count| count.to_le_bytes()).collect::<Vec<_>>());
                point.bytes(7, &values.bounds.iter().flat_map(|bound| bound.to_le_bytes()).collect::<Vec<_>>());
                attributes.iter().for_each(|(name, value)| attribute(point, 9, name, value));
            });
        }
        histogram.varint(2, CUMULATIVE);
    })
}

fn metric(name: &str, unit: &str, kind: u32, write: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, name);
    out.text(3, unit);
    out.message(kind, write);
    out.into_bytes()
}

fn times(point: &mut Message, over: TimeSpan) {
    point.fixed64(2, over.start_ns);
    point.fixed64(3, over.end_ns);
}
