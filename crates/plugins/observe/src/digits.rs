//! Ids as text: hexadecimal digits and decimal numbers of any length.

/// Appends bytes as hexadecimal digits.
pub fn hex(out: &mut impl Extend<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or(b'0');
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

/// Hexadecimal digits as text.
pub fn hex_text(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    hex(&mut text, bytes);
    String::from_utf8(text).unwrap_or_default()
}

/// Whether all of a text, which is not empty, are hexadecimal digits.
pub fn is_hex(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_hexdigit)
}

/// The number that hexadecimal digits write, its last `N` bytes.
pub fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (at, digit) in text.iter().rev().enumerate() {
        let value = char::from(*digit).to_digit(16)? as u8;
        // Digits beyond the id's size are left out.
        if let Some(byte) = N.checked_sub(1 + at / 2).and_then(|place| bytes.get_mut(place)) {
            *byte |= value << (4 * (at % 2));
        }
    }
    Some(bytes)
}

/// A decimal number's last 16 bytes, and how many bytes the number has (17 for more than 16).
pub fn from_decimal(text: &[u8]) -> Option<([u8; 16], usize)> {
    let (mut number, mut overflows) = (0u128, text.is_empty());
    if overflows {
        return None;
    }
    for digit in text {
        let value = char::from(*digit).to_digit(10)?;
        let (tens, first) = number.overflowing_mul(10);
        let (sum, second) = tens.overflowing_add(u128::from(value));
        overflows |= first | second;
        number = sum;
    }
    let size = if overflows { 17 } else { 16 - number.leading_zeros() as usize / 8 };
    Some((number.to_be_bytes(), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_ids_are_filled_from_the_left_and_cut_there() {
        assert_eq!(from_hex::<2>(b"a"), Some([0, 10]));
        assert_eq!(from_hex::<2>(b"12345"), Some([0x23, 0x45]));
        assert_eq!(from_hex::<2>(b"1g"), None);
        assert_eq!(hex_text(&[0, 0xab]), "00ab");
    }

    #[test]
    fn decimal_ids_keep_their_last_bytes() {
        assert_eq!(from_decimal(b"1234").map(|(id, size)| (u128::from_be_bytes(id), size)), Some((1234, 2)));
        let (id, size) = from_decimal(b"340282366920938463463374607431768211457").unwrap_or_default();
        assert_eq!((u128::from_be_bytes(id), size), (1, 17));
        assert_eq!((from_decimal(b""), from_decimal(b"-1")), (None, None));
    }
}
