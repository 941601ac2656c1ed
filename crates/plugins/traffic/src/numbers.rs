//! Numbers in headers.

use gibbon_message::Headers;

/// Limits are numbers, mostly whole ones, which need no allocation.
pub fn set_number(headers: &mut Headers, name: &str, value: f64) {
    with_digits(value, |digits| headers.set(name, digits));
}

/// As [`set_number`], of a name that is known to be one.
pub fn set_number_of(headers: &mut Headers, name: &'static str, value: f64) {
    with_digits(value, |digits| headers.set_clean(name.as_bytes(), digits.as_bytes()));
}

pub fn set_count(headers: &mut Headers, name: &'static str, value: u64) {
    headers.set_clean(name.as_bytes(), itoa::Buffer::new().format(value).as_bytes());
}

fn with_digits(value: f64, set: impl FnOnce(&str)) {
    let whole = value as i64;
    if whole as f64 == value && value.abs() < 9e15 {
        set(itoa::Buffer::new().format(whole));
    } else {
        set(&value.to_string());
    }
}
