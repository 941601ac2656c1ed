//! How values are written into a line, so that nobody can forge a line or break out of a quoted field.

use gibbon_conf::Escape;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends a value escaped as the format asks.
pub(crate) fn append(escape: Escape, value: &[u8], out: &mut Vec<u8>) {
    match escape {
        Escape::None => out.extend_from_slice(value),
        Escape::Default => runs(value, out, |byte| matches!(byte, b'"' | b'\\' | 0..=31 | 127..), hex_form),
        Escape::Json => runs(value, out, |byte| matches!(byte, b'"' | b'\\' | 0..=31), json_form),
    }
}

/// Copies what needs no escaping in runs and hands each other byte to `form`.
fn runs(value: &[u8], out: &mut Vec<u8>, escaped: impl Fn(u8) -> bool, form: impl Fn(u8, &mut Vec<u8>)) {
    for run in value.split_inclusive(|byte| escaped(*byte)) {
        match run.split_last() {
            Some((last, plain)) if escaped(*last) => {
                out.extend_from_slice(plain);
                form(*last, out);
            }
            _ => out.extend_from_slice(run),
        }
    }
}

fn hex_form(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
}

fn json_form(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        8 => out.extend_from_slice(b"\\b"),
        12 => out.extend_from_slice(b"\\f"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

fn digit(nibble: u8) -> u8 {
    HEX.get(usize::from(nibble)).copied().unwrap_or(b'0')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn escaped(escape: Escape, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        append(escape, value, &mut out);
        out
    }

    #[test]
    fn the_default_writes_quotes_backslashes_and_unprintable_bytes_in_hexadecimal() {
        assert_eq!(escaped(Escape::Default, b"a\"b\\c\nd\xffe\x7f"), b"a\\x22b\\x5Cc\\x0Ad\\xFFe\\x7F");
    }

    #[test]
    fn json_writes_what_json_demands_and_leaves_utf8_alone() {
        assert_eq!(
            escaped(Escape::Json, "\"\\\n\r\t\u{8}\u{c}\u{1}é".as_bytes()),
            "\\\"\\\\\\n\\r\\t\\b\\f\\u0001é".as_bytes()
        );
    }

    #[test]
    fn none_changes_nothing() {
        assert_eq!(escaped(Escape::None, b"\"\n\xff"), b"\"\n\xff");
    }

    proptest::proptest! {
        #[test]
        fn no_value_can_end_a_line_or_a_quoted_field(value: Vec<u8>) {
            for escape in [Escape::Default, Escape::Json] {
                let line = escaped(escape, &value);
                proptest::prop_assert!(!line.contains(&b'\n') && !line.contains(&0));
            }
            proptest::prop_assert!(!escaped(Escape::Default, &value).contains(&b'"'));
        }
    }
}
