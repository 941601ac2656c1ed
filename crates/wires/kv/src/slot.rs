//! Which of a cluster's 16384 slots a command belongs to (Redis cluster specification).

use bytes::Bytes;

pub const SLOTS: u16 = 16384;

/// The slot of a key: of the part between the first `{` and the next `}` if there is one and it is not empty.
pub fn of_key(key: &[u8]) -> u16 {
    let tagged = key.iter().position(|b| *b == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|b| *b == b'}').filter(|close| *close > 0)?;
        rest.get(..close)
    });
    crc16(tagged.unwrap_or(key)) % SLOTS
}

/// The slot of a command's first key; `None` if it has no key, and any node will do.
pub fn of_command(arguments: &[Bytes]) -> Option<u16> {
    let name = arguments.first()?;
    let is = |names: &[&str]| names.iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()));
    if is(&["EVAL", "EVALSHA", "FCALL"]) {
        let keys: usize = std::str::from_utf8(arguments.get(2)?).ok()?.parse().ok()?;
        return if keys == 0 { None } else { arguments.get(3).map(|key| of_key(key)) };
    }
    if is(&["PING", "ECHO", "INFO", "SCRIPT", "PUBLISH", "TIME", "CONFIG", "CLUSTER"]) {
        return None;
    }
    arguments.get(1).map(|key| of_key(key))
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fall_into_the_slots_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!((of_key(b"foo"), of_key(b"bar")), (12182, 5061));
    }

    #[test]
    fn a_tag_in_braces_decides_unless_it_is_empty() {
        assert_eq!(of_key(b"{user1000}.following"), of_key(b"{user1000}.followers"));
        assert_eq!(of_key(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(of_key(b"foo{{bar}}zap"), of_key(b"{bar"));
    }

    #[test]
    fn scripts_are_placed_by_their_first_key() {
        let command =
            |parts: &[&'static str]| -> Vec<Bytes> { parts.iter().map(|p| Bytes::from_static(p.as_bytes())).collect() };
        assert_eq!(of_command(&command(&["eval", "return 1", "1", "foo"])), Some(12182));
        assert_eq!(of_command(&command(&["EVAL", "return 1", "0"])), None);
        assert_eq!(of_command(&command(&["GET", "foo"])), Some(12182));
        assert_eq!(of_command(&command(&["ping"])), None);
    }
}
