//! Encodings, digests and signatures.

use std::rc::Rc;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{
    GeneralPurpose, GeneralPurposeConfig, STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD,
};
use gibbon_message::uri;
use md5::{Digest as _, Md5};
use mlua::{Lua, LuaString, Table, Value};

use super::{add, text};
use crate::machine::Ports;

/// Takes text with and without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const DECODER: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_DECODER: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// A block of PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).unwrap_or_default());
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        out.push_str(&format!("{byte:02x}"));
        out
    })
}

fn digest_of(name: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match name {
        b"md5" => return Some(Md5::digest(data).to_vec()),
        b"sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        b"sha224" => &digest::SHA224,
        b"sha256" => &digest::SHA256,
        b"sha384" => &digest::SHA384,
        b"sha512" => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, data).as_ref().to_vec())
}

fn hmac_of(name: &[u8], key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match name {
        b"sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        b"sha224" => hmac::HMAC_SHA224,
        b"sha256" => hmac::HMAC_SHA256,
        b"sha384" => hmac::HMAC_SHA384,
        b"sha512" => hmac::HMAC_SHA512,
        b"md5" => return Some(hmac_md5(key, data)),
        _ => return None,
    };
    Some(hmac::sign(&hmac::Key::new(algorithm, key), data).as_ref().to_vec())
}

/// RFC 2104 over MD5, for protocols that still ask for it.
fn hmac_md5(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 64];
    let short = if key.len() > 64 { Md5::digest(key).to_vec() } else { key.to_vec() };
    for (place, byte) in block.iter_mut().zip(short) {
        *place = byte;
    }
    let inner = Md5::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(data).finalize();
    Md5::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

/// The polynomial of IEEE 802.3, bit by bit: used on keys, not on bodies.
fn crc32(data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    };
    !data.iter().fold(!0, step)
}

/// Everything but the unreserved characters of RFC 3986 is escaped.
fn escape(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len());
    for byte in data {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Text of a Lua value that ngx functions take: strings, numbers, nil as empty.
fn bytes_of(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Integer(number) => number.to_string().into_bytes(),
        Value::Number(number) => number.to_string().into_bytes(),
        Value::Boolean(flag) => flag.to_string().into_bytes(),
        _ => Vec::new(),
    }
}

pub fn install(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    add(lua, native, "encode_base64", |lua, (value, bare): (Value, Option<bool>)| {
        let engine = if bare.unwrap_or(false) { &STANDARD_NO_PAD } else { &STANDARD };
        lua.create_string(engine.encode(bytes_of(&value)))
    })?;
    add(lua, native, "decode_base64", |lua, value: LuaString| text(lua, DECODER.decode(value.as_bytes()).ok()))?;
    add(lua, native, "encode_base64url", |lua, value: Value| {
        lua.create_string(URL_SAFE_NO_PAD.encode(bytes_of(&value)))
    })?;
    add(lua, native, "decode_base64url", |lua, value: LuaString| text(lua, URL_DECODER.decode(value.as_bytes()).ok()))?;
    add(lua, native, "escape_uri", |_, value: Value| Ok(escape(&bytes_of(&value))))?;
    add(lua, native, "unescape_uri", |lua, value: Value| {
        let bytes = bytes_of(&value);
        lua.create_string(uri::decode(&bytes, true))
    })?;
    add(lua, native, "md5", |_, value: Value| Ok(hex(&Md5::digest(bytes_of(&value)))))?;
    add(lua, native, "md5_bin", |lua, value: Value| lua.create_string(Md5::digest(bytes_of(&value))))?;
    add(lua, native, "sha1_bin", |lua, value: Value| text(lua, digest_of(b"sha1", &bytes_of(&value))))?;
    add(lua, native, "crc32", |_, value: Value| Ok(f64::from(crc32(&bytes_of(&value)))))?;
    add(lua, native, "to_hex", |_, value: LuaString| Ok(hex(&value.as_bytes())))?;
    add(lua, native, "digest", |lua, (name, data): (LuaString, LuaString)| {
        text(lua, digest_of(&name.as_bytes(), &data.as_bytes()))
    })?;
    add(lua, native, "hmac", |lua, (name, key, data): (LuaString, Value, Value)| {
        text(lua, hmac_of(&name.as_bytes(), &bytes_of(&key), &bytes_of(&data)))
    })?;
    // Comparison whose time says nothing about where two texts differ.
    add(lua, native, "equal", |_, (a, b): (LuaString, LuaString)| {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        Ok(a.len() == b.len() && a.iter().zip(b.iter()).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0)
    })?;
    let random = Rc::clone(ports);
    add(lua, native, "random_bytes", move |lua, count: usize| {
        let mut bytes = vec![0; count.min(1 << 20)];
        random.random.fill(&mut bytes);
        lua.create_string(bytes)
    })?;
    let random = Rc::clone(ports);
    add(lua, native, "random_hex", move |_, count: usize| {
        let mut bytes = vec![0; count.min(1 << 20)];
        random.random.fill(&mut bytes);
        Ok(hex(&bytes))
    })?;
    let random = Rc::clone(ports);
    add(lua, native, "uuid", move |_, ()| Ok(random.random.uuid().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_their_standards() {
        assert_eq!(
            hex(&hmac_md5(b"key", b"The quick brown fox jumps over the lazy dog")),
            "80070713463e7749b90c2dc24911e275"
        );
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(escape("a b/~ä".as_bytes()), "a%20b%2F~%C3%A4");
    }
}
