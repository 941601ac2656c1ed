//! Protobuf's wire format, writing side.

/// A message under construction. Fields are written in the order of the calls.
#[derive(Default)]
pub struct Message(Vec<u8>);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

impl Message {
    pub fn varint(&mut self, field: u32, value: u64) {
        self.key(field, VARINT);
        self.number(value);
    }

    pub fn fixed64(&mut self, field: u32, value: u64) {
        self.key(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn fixed32(&mut self, field: u32, value: u32) {
        self.key(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub fn double(&mut self, field: u32, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, LENGTH);
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    pub fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// A message within: its length, known only afterwards, is put in front of it.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Message)) {
        self.key(field, LENGTH);
        let start = self.0.len();
        write(self);
        let end = self.0.len();
        self.number((end - start) as u64);
        let length = self.0.len() - end;
        if let Some(written) = self.0.get_mut(start..) {
            written.rotate_right(length);
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, kind: u32) {
        self.number(u64::from(field << 3 | kind));
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_the_wire_format() {
        let mut message = Message::default();
        message.varint(1, 300);
        message.text(2, "hi");
        message.message(3, |inner| inner.varint(1, 1));
        message.fixed32(4, 1);
        message.double(5, 1.0);
        let expected = [
            &[0x08, 0xac, 0x02][..],
            &[0x12, 2, b'h', b'i'],
            &[0x1a, 2, 0x08, 1],
            &[0x25, 1, 0, 0, 0],
            &[0x29, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
        ];
        assert_eq!(message.into_bytes(), expected.concat());
    }

    #[test]
    fn the_length_of_a_long_message_stands_in_front_of_it() {
        let mut message = Message::default();
        message.message(1, |inner| inner.bytes(1, &[7; 200]));
        let bytes = message.into_bytes();
        assert_eq!((bytes.get(..6), bytes.len()), (Some(&[0x0a, 0xcb, 1, 0x0a, 0xc8, 1][..]), 206));
    }
}
