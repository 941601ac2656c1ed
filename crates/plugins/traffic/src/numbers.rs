//! Numbers in headers.

use gibbon_message::Headers;

/// Limits are numbers, mostly whole ones, which need no allocation.
pub fn set_number(headers: &mut Headers, name: &str, value: f64) {
    let whole = value as i64;
    if whole as f64 == value && value.abs() < 9e15 {
        headers.set(name, itoa::Buffer::new().format(whole));
    } else {
        headers.set(name, value.to_string());
    }
}

pub fn set_count(headers: &mut Headers, name: &str, value: u64) {
    headers.set(name, itoa::Buffer::new().format(value));
}
