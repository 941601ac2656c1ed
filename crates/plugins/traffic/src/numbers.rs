//! Numbers in headers.

use gibbon_message::Headers;

/// Limits are numbers, mostly whole ones, which need no allocation.
pub fn set_number(headers: &mut Headers, name: &str, value: f64) {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        headers.set(name, itoa::Buffer::new().format(value as i64));
    } else {
        headers.set(name, value.to_string());
    }
}

pub fn set_count(headers: &mut Headers, name: &str, value: u64) {
    headers.set(name, itoa::Buffer::new().format(value));
}
