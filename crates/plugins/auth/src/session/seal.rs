//! The envelope of a session: a header of 82 bytes and the encrypted contents, as lua-resty-session 4 writes them.
//!
//! ```text
//! type 1 | flags 2 | id 32 | created 5 | rolled after 4 | size 3 | tag 16 | used after 3 | mac 16
//! ```
//!
//! Numbers are little-endian. The tag is that of AES-256-GCM over the contents and what stands before it; the mac is
//! HMAC-SHA-256, cut to 16 bytes, over all that stands before it. Both keys are derived from the secret and the id, so
//! no key is used twice. The mac is checked before anything else is believed.

use std::num::NonZeroU32;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{digest, hkdf, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gibbon_pdk::Random;

const SIZE: usize = 82;
/// Length of a header in Base64.
pub const ENCODED_SIZE: usize = 110;
const TAG_AT: usize = 47;
const IDLING_AT: usize = 63;
const MAC_AT: usize = 66;
const TYPE: u8 = 1;

/// The contents are in the store.
pub const STORED: u16 = 0x0001;
/// The caller does not want to be remembered.
pub const FORGET: u16 = 0x0002;
/// The contents are compressed.
pub const DEFLATED: u16 = 0x0010;

const MAX_IDLING: u64 = (1 << 24) - 1;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub flags: u16,
    pub id: [u8; 32],
    /// Seconds since the epoch.
    pub created: u64,
    /// Seconds from the creation to the last renewal.
    pub rolling_offset: u64,
    /// Length of the contents in Base64.
    pub size: usize,
    /// Seconds from the last renewal to the last use that was noted.
    pub idling_offset: u64,
}

/// What the maker of an envelope decides: see [`Header`].
#[derive(Clone, Copy, Debug)]
pub struct New {
    pub flags: u16,
    pub created: u64,
    pub rolling_offset: u64,
}

/// A header with its authenticity shown, as it was sent.
#[derive(Clone)]
pub struct Verified {
    pub header: Header,
    bytes: [u8; SIZE],
}

/// How hard the key of the contents is to derive from the secret. A cookie that lives for weeks takes longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    Session,
    Remember,
}

/// A header and contents, both in Base64.
pub struct Sealed {
    pub header: Header,
    pub header_text: String,
    pub contents: String,
    verified: Verified,
}

impl Sealed {
    /// What the reader of this envelope will have verified.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }
}

/// The secret in the form that keys are derived from.
pub struct Keys {
    material: [u8; 32],
    extracted: hkdf::Prk,
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Keys {
    #[must_use]
    pub fn new(secret: &str) -> Keys {
        let mut material = [0; 32];
        material.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
        Keys { extracted: hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&material), material }
    }

    /// HKDF-SHA-256 with `usage:` and the id as its context.
    fn derive<const N: usize>(&self, usage: &[u8], id: &[u8; 32]) -> Option<[u8; N]> {
        let mut out = [0; N];
        self.extracted.expand(&[usage, id], Length(N)).and_then(|okm| okm.fill(&mut out)).ok()?;
        Some(out)
    }

    fn mac(&self, id: &[u8; 32], message: &[u8]) -> Option<hmac::Tag> {
        let key: [u8; 32] = self.derive(b"authentication:", id)?;
        Some(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), message))
    }

    /// Key and nonce of the contents. For [`Effort::Remember`] this takes about a millisecond.
    fn cipher(&self, id: &[u8; 32], effort: Effort) -> Option<(LessSafeKey, Nonce)> {
        const USAGE: &[u8] = b"encryption:";
        let both: [u8; 44] = match effort {
            Effort::Session => self.derive(USAGE, id)?,
            Effort::Remember => {
                let mut out = [0; 44];
                let salt = [USAGE, id].concat();
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, NonZeroU32::new(10_000)?, &salt, &self.material, &mut out);
                out
            }
        };
        let (key, nonce) = both.split_at(32);
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
        Some((key, Nonce::try_assume_unique_for_key(nonce).ok()?))
    }

    /// Reads a header at the beginning of a cookie's value; `None` if we did not make it.
    #[must_use]
    pub fn verify(&self, cookie: &str) -> Option<Verified> {
        let mut bytes = [0; SIZE];
        let decoded = URL_SAFE_NO_PAD.decode_slice(cookie.get(..ENCODED_SIZE)?, &mut bytes).ok()?;
        (decoded == SIZE).then_some(())?;
        let header = unpack(&bytes)?;
        let expected = self.mac(&header.id, bytes.get(..MAC_AT)?)?;
        let is_ours = crate::identity::equal_in_constant_time(expected.as_ref().get(..16)?, bytes.get(MAC_AT..)?);
        is_ours.then_some(Verified { header, bytes })
    }

    /// Encrypts contents under a fresh id. `bound` must be the same when they are decrypted.
    #[must_use]
    pub fn seal(
        &self,
        new: &New,
        contents: &[u8],
        bound: &[u8],
        effort: Effort,
        random: &dyn Random,
    ) -> Option<Sealed> {
        let mut id = [0; 32];
        random.fill(&mut id);
        let size = (contents.len() * 4).div_ceil(3);
        let New { flags, created, rolling_offset } = *new;
        let mut header = Header { flags, id, created, rolling_offset, size, idling_offset: 0 };
        let mut bytes = pack(&header)?;
        let (key, nonce) = self.cipher(&id, effort)?;
        let mut encrypted = contents.to_vec();
        let aad = Aad::from([bytes.get(..TAG_AT)?, bound].concat());
        let tag = key.seal_in_place_separate_tag(nonce, aad, &mut encrypted).ok()?;
        bytes.get_mut(TAG_AT..IDLING_AT)?.copy_from_slice(tag.as_ref());
        self.sign(&mut header, &mut bytes, 0)?;
        let header_text = URL_SAFE_NO_PAD.encode(bytes);
        let verified = Verified { header: header.clone(), bytes };
        Some(Sealed { header, header_text, contents: URL_SAFE_NO_PAD.encode(encrypted), verified })
    }

    /// Decrypts contents.
    #[must_use]
    pub fn open(&self, verified: &Verified, contents: &str, bound: &[u8], effort: Effort) -> Option<Vec<u8>> {
        (contents.len() == verified.header.size).then_some(())?;
        let mut bytes = URL_SAFE_NO_PAD.decode(contents).ok()?;
        let (key, nonce) = self.cipher(&verified.header.id, effort)?;
        let aad = Aad::from([verified.bytes.get(..TAG_AT)?, bound].concat());
        bytes.extend_from_slice(verified.bytes.get(TAG_AT..IDLING_AT)?);
        let length = key.open_in_place(nonce, aad, &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }

    /// The header with a later use noted; the id and the contents stay. In Base64.
    #[must_use]
    pub fn touch(&self, verified: &mut Verified, idling_offset: u64) -> Option<String> {
        self.sign(&mut verified.header, &mut verified.bytes, idling_offset)?;
        Some(URL_SAFE_NO_PAD.encode(verified.bytes))
    }

    fn sign(&self, header: &mut Header, bytes: &mut [u8; SIZE], idling_offset: u64) -> Option<()> {
        header.idling_offset = idling_offset.min(MAX_IDLING);
        put(bytes, IDLING_AT, 3, header.idling_offset)?;
        let mac = self.mac(&header.id, bytes.get(..MAC_AT)?)?;
        bytes.get_mut(MAC_AT..)?.copy_from_slice(mac.as_ref().get(..16)?);
        Some(())
    }
}

fn put(bytes: &mut [u8], at: usize, length: usize, value: u64) -> Option<()> {
    bytes.get_mut(at..at + length)?.copy_from_slice(value.to_le_bytes().get(..length)?);
    Some(())
}

fn take(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(bytes.get(at..at + length)?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn pack(header: &Header) -> Option<[u8; SIZE]> {
    let mut bytes = [0; SIZE];
    put(&mut bytes, 0, 1, u64::from(TYPE))?;
    put(&mut bytes, 1, 2, u64::from(header.flags))?;
    bytes.get_mut(3..35)?.copy_from_slice(&header.id);
    put(&mut bytes, 35, 5, header.created)?;
    put(&mut bytes, 40, 4, header.rolling_offset)?;
    put(&mut bytes, 44, 3, u64::try_from(header.size).ok()?)?;
    Some(bytes)
}

fn unpack(bytes: &[u8; SIZE]) -> Option<Header> {
    (bytes.first() == Some(&TYPE)).then_some(())?;
    let mut id = [0; 32];
    id.copy_from_slice(bytes.get(3..35)?);
    Some(Header {
        flags: take(bytes, 1, 2)? as u16,
        id,
        created: take(bytes, 35, 5)?,
        rolling_offset: take(bytes, 40, 4)?,
        size: take(bytes, 44, 3)? as usize,
        idling_offset: take(bytes, IDLING_AT, 3)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// Written by another implementation of the same format: Python's `hashlib` and `cryptography`.
    const SESSION: &str = "AQAAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9CiOBlACgAAACXAAB-aG_JJyuuToG7QOcUZynkCgAAwfvas0gkAaMYdjET-mIBIwva3iMD2hwpx8PmrCJMjJyEShgeQRonREgnVfMhI2-KsjFXTXfrUj9ms4OrzcXsfno_YD4vy_FWeMX9k56ZynUfKO4zWeetMfiddaL8zNbqrtNyOeYZBbNVlZ09TTPhcAQM3AeoX_1m_73juunfQD2T4";
    const REMEMBER: &str = "AQAAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9CiOBlACgAAACXAABEMHM9i9CbgfDZt70Vhtj_AAAA9g9sZQxRNsTJI9Kd5Yx32QZ6-Nxy9A8kfSXLXCXQmFndyXYhmpBEY90iC0ZhdqH4rruaIfzWUpTFY6TY8qMWBBsAB4f4lMGMrjR_4-2xNjwBD9kKFDmCH8Iso34vGPxtucdYjxzwLVAj-VAOZr7rU7YmQy42owV2yTLQjdzIqzTLo";
    const CONTENTS: &str = r#"[[["01010101-0101-0101-0101-010101010101","0b0b0b0b-0b0b-0b0b-0b0b-0b0b0b0b0b0b",["g1","g2"]],"default","alice"]]"#;

    #[test]
    fn an_envelope_that_another_implementation_made_is_opened() {
        let keys = Keys::new("fixed-secret");
        for (cookie, effort, idling) in [(SESSION, Effort::Session, 10), (REMEMBER, Effort::Remember, 0)] {
            let verified = keys.verify(cookie).unwrap();
            let header = &verified.header;
            assert_eq!((header.flags, header.created, header.rolling_offset), (0, 1_709_213_762, 40));
            assert_eq!((header.idling_offset, header.size, header.id[31]), (idling, 151, 31));
            let contents = keys.open(&verified, &cookie[ENCODED_SIZE..], b"", effort).unwrap();
            assert_eq!(String::from_utf8(contents).unwrap(), CONTENTS);
        }
    }

    #[test]
    fn a_changed_bit_anywhere_is_noticed() {
        let keys = Keys::new("fixed-secret");
        for at in 0..SESSION.len() {
            let mut changed = SESSION.as_bytes().to_vec();
            // Another letter of the alphabet whose high bits differ, so that no bit beyond the last byte is meant.
            changed[at] = if changed[at] == b'w' { b'h' } else { b'w' };
            let text = String::from_utf8(changed).unwrap();
            let opened = keys.verify(&text).and_then(|v| keys.open(&v, &text[ENCODED_SIZE..], b"", Effort::Session));
            assert!(opened.is_none(), "position {at}");
        }
    }

    #[test]
    fn another_secret_or_binding_opens_nothing() {
        assert!(Keys::new("other").verify(SESSION).is_none());
        let keys = Keys::new("fixed-secret");
        let verified = keys.verify(SESSION).unwrap();
        assert!(keys.open(&verified, &SESSION[ENCODED_SIZE..], b"10.0.0.1", Effort::Session).is_none());
    }

    #[test]
    fn a_touched_header_opens_the_same_contents() {
        let keys = Keys::new("fixed-secret");
        let mut verified = keys.verify(SESSION).unwrap();
        let text = keys.touch(&mut verified, 60).unwrap();
        let again = keys.verify(&text).unwrap();
        assert_eq!(again.header.idling_offset, 60);
        assert!(keys.open(&again, &SESSION[ENCODED_SIZE..], b"", Effort::Session).is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_cookie_is_taken_or_refused(text in ".{0,300}") {
            proptest::prop_assert!(Keys::new("s").verify(&text).is_none());
        }
    }
}
