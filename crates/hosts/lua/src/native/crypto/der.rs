//! DER (X.690), as far as keys and signatures need it: reading elements, and writing them.

pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OID: u8 = 0x06;
pub const SEQUENCE: u8 = 0x30;

/// Elements one after another.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element: tag and content. Lengths above 32 bits and indefinite ones are refused.
    pub fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let count = usize::from(first & 0x7f);
            if !(1..=4).contains(&count) {
                return None;
            }
            let (digits, behind) = rest.split_at_checked(count)?;
            length = digits.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = behind;
        }
        let (content, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some((tag, content))
    }

    /// The content of the next element, if its tag is this one.
    pub fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        match self.element() {
            Some((found, content)) if found == tag => Some(content),
            _ => {
                self.0 = before;
                None
            }
        }
    }

    /// A whole number that is not negative, without its leading zeros.
    pub fn unsigned(&mut self) -> Option<Vec<u8>> {
        let content = self.take(INTEGER)?;
        if content.first()? & 0x80 != 0 {
            return None;
        }
        Some(trimmed(content).to_vec())
    }

    pub fn sequence(&mut self) -> Option<Reader<'a>> {
        self.take(SEQUENCE).map(Reader)
    }
}

/// A number without its leading zeros.
pub fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// One element.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let digits = length.to_be_bytes();
            let digits = trimmed(&digits);
            // A length takes at most eight digits.
            #[allow(clippy::cast_possible_truncation)]
            out.push(0x80 | digits.len() as u8);
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A number that is not negative.
pub fn unsigned(number: &[u8]) -> Vec<u8> {
    let digits = trimmed(number);
    match digits.first() {
        Some(first) if first & 0x80 == 0 => element(INTEGER, digits),
        _ => element(INTEGER, &[&[0], digits].concat()),
    }
}

pub fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// Bits that are whole bytes.
pub fn bits(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}

/// An ECDSA signature as `r` and `s` one after another, each so many bytes long (RFC 7518 3.4).
pub fn raw_signature(der: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut outer = Reader::new(der);
    let mut inner = outer.sequence()?;
    let (r, s) = (inner.unsigned()?, inner.unsigned()?);
    if !outer.is_empty() || !inner.is_empty() {
        return None;
    }
    Some([padded(&r, size)?, padded(&s, size)?].concat())
}

/// The other way.
pub fn der_signature(raw: &[u8], size: usize) -> Option<Vec<u8>> {
    if raw.len() != size * 2 {
        return None;
    }
    let (r, s) = raw.split_at(size);
    Some(sequence(&[unsigned(r), unsigned(s)]))
}

/// A number in so many bytes; nothing if it is larger.
pub fn padded(number: &[u8], size: usize) -> Option<Vec<u8>> {
    let digits = trimmed(number);
    let zeros = size.checked_sub(digits.len())?;
    Some([vec![0; zeros].as_slice(), digits].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(content in proptest::collection::vec(any::<u8>(), 0..70_000)) {
            let written = element(OCTET_STRING, &content);
            let mut reader = Reader::new(&written);
            prop_assert_eq!(reader.take(OCTET_STRING), Some(&content[..]));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while reader.element().is_some() {}
        }

        #[test]
        fn signatures_change_form_and_back(raw in proptest::collection::vec(any::<u8>(), 64)) {
            let der = der_signature(&raw, 32).unwrap();
            prop_assert_eq!(raw_signature(&der, 32).unwrap(), raw);
        }
    }
}
