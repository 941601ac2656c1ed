//! Symmetric encryption by OpenSSL's names, key derivation, and AES key wrap.

use std::num::NonZeroU32;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::key_wrap::{self, AesKek, KeyWrap as _};
use aws_lc_rs::{hkdf, pbkdf2};
use mlua::{Lua, LuaString, Table, Value};

use super::super::{add, lossy, text};

/// A text to encrypt or decrypt, with what belongs to it.
struct Job<'a> {
    key: &'a [u8],
    iv: &'a [u8],
    data: &'a [u8],
    padded: bool,
    aad: &'a [u8],
    /// Of a text to decrypt; none when encrypting.
    tag: Option<&'a [u8]>,
    encrypt: bool,
}

/// Text, and the tag that authenticates it.
type Done = Result<(Vec<u8>, Option<Vec<u8>>), String>;

fn failed<E>(_: E) -> String {
    "the cipher failed: wrong key, iv, length or tag".to_owned()
}

fn run(name: &str, job: &Job<'_>) -> Done {
    let mut parts = name.splitn(3, '-');
    let (family, size, mode) = (parts.next(), parts.next(), parts.next());
    let size: usize = match (family, size) {
        (Some("chacha20"), Some("poly1305")) => return authenticated(&aead::CHACHA20_POLY1305, job),
        (Some("aes"), Some(bits @ ("128" | "192" | "256"))) => bits.parse().unwrap_or_default(),
        _ => return Err(format!("invalid cipher type \"{name}\"")),
    };
    if job.key.len() * 8 != size {
        return Err(format!("incorrect key size, {} expected", size / 8));
    }
    match (mode, size) {
        (Some("gcm"), 128) => authenticated(&aead::AES_128_GCM, job),
        (Some("gcm"), 192) => authenticated(&aead::AES_192_GCM, job),
        (Some("gcm"), _) => authenticated(&aead::AES_256_GCM, job),
        (Some("cbc" | "ctr" | "ecb"), _) => plain(mode.unwrap_or_default(), job),
        (Some("wrap"), 128) => wrap(&key_wrap::AES_128, job),
        (Some("wrap"), 256) => wrap(&key_wrap::AES_256, job),
        _ => Err(format!("invalid cipher type \"{name}\"")),
    }
}

/// What a block cipher with padding hides.
///
/// # Errors
/// Wrong key, iv or length.
pub fn decrypted(name: &str, key: &[u8], iv: &[u8], data: &[u8]) -> Result<Vec<u8>, String> {
    let job = Job { key, iv, data, padded: true, aad: b"", tag: None, encrypt: false };
    run(name, &job).map(|(text, _)| text)
}

fn authenticated(algorithm: &'static aead::Algorithm, job: &Job<'_>) -> Done {
    let key = UnboundKey::new(algorithm, job.key).map(LessSafeKey::new).map_err(failed)?;
    let nonce = Nonce::try_assume_unique_for_key(job.iv).map_err(|_| "incorrect iv size, 12 expected".to_owned())?;
    let mut data = job.data.to_vec();
    if job.encrypt {
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(job.aad), &mut data).map_err(failed)?;
        return Ok((data, Some(tag.as_ref().to_vec())));
    }
    // A shortened tag would make forgery cheap, so it has to be whole.
    let tag = job.tag.filter(|tag| tag.len() == algorithm.tag_len()).ok_or("missing or incomplete AEAD tag")?;
    let mut out = vec![0; data.len()];
    key.open_separate_gather(nonce, Aad::from(job.aad), &data, tag, &mut out).map_err(failed)?;
    Ok((out, None))
}

fn plain(mode: &str, job: &Job<'_>) -> Done {
    let algorithm = match job.key.len() {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        _ => &cipher::AES_256,
    };
    let key = UnboundCipherKey::new(algorithm, job.key).map_err(failed)?;
    let iv = || -> Result<FixedLength<16>, String> {
        let iv: [u8; 16] = job.iv.try_into().map_err(|_| "incorrect iv size, 16 expected".to_owned())?;
        Ok(FixedLength::from(iv))
    };
    let mut data = job.data.to_vec();
    let length = if job.encrypt {
        let context = if mode == "ecb" { EncryptionContext::None } else { EncryptionContext::Iv128(iv()?) };
        match (mode, job.padded) {
            ("cbc", true) => {
                let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(failed)?;
                key.less_safe_encrypt(&mut data, context).map_err(failed)?;
            }
            ("ecb", true) => {
                let key = PaddedBlockEncryptingKey::ecb_pkcs7(key).map_err(failed)?;
                key.less_safe_encrypt(&mut data, context).map_err(failed)?;
            }
            _ => {
                let key = match mode {
                    "cbc" => EncryptingKey::cbc(key),
                    "ecb" => EncryptingKey::ecb(key),
                    _ => EncryptingKey::ctr(key),
                };
                key.map_err(failed)?.less_safe_encrypt(&mut data, context).map_err(failed)?;
            }
        }
        data.len()
    } else {
        let context = if mode == "ecb" { DecryptionContext::None } else { DecryptionContext::Iv128(iv()?) };
        match (mode, job.padded) {
            ("cbc", true) => {
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(failed)?;
                key.decrypt(&mut data, context).map_err(failed)?.len()
            }
            ("ecb", true) => {
                let key = PaddedBlockDecryptingKey::ecb_pkcs7(key).map_err(failed)?;
                key.decrypt(&mut data, context).map_err(failed)?.len()
            }
            _ => {
                let key = match mode {
                    "cbc" => DecryptingKey::cbc(key),
                    "ecb" => DecryptingKey::ecb(key),
                    _ => DecryptingKey::ctr(key),
                };
                key.map_err(failed)?.decrypt(&mut data, context).map_err(failed)?.len()
            }
        }
    };
    data.truncate(length);
    Ok((data, None))
}

fn wrap(block: &'static key_wrap::AesBlockCipher, job: &Job<'_>) -> Done {
    let key = AesKek::new(block, job.key).map_err(failed)?;
    let mut out = vec![0; job.data.len() + 16];
    let done = if job.encrypt { key.wrap(job.data, &mut out) } else { key.unwrap(job.data, &mut out) };
    let length = done.map_err(failed)?.len();
    out.truncate(length);
    Ok((out, None))
}

/// The length of what HKDF gives.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Longest derived key, and most rounds: they run on the worker, and tokens may say how many (RFC 7518 4.8.1.2).
const LONGEST: usize = 4096;
const MOST_ROUNDS: u32 = 1_000_000;

/// A key derived from a passphrase.
///
/// # Errors
/// A digest that is not known, or too many rounds.
pub fn pbkdf2_of(digest: &str, pass: &[u8], salt: &[u8], rounds: u32, length: usize) -> Result<Vec<u8>, String> {
    let algorithm = match digest {
        "sha1" => pbkdf2::PBKDF2_HMAC_SHA1,
        "sha256" => pbkdf2::PBKDF2_HMAC_SHA256,
        "sha384" => pbkdf2::PBKDF2_HMAC_SHA384,
        "sha512" => pbkdf2::PBKDF2_HMAC_SHA512,
        other => return Err(format!("invalid digest type \"{other}\"")),
    };
    let rounds = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= MOST_ROUNDS);
    let rounds = rounds.ok_or_else(|| format!("between 1 and {MOST_ROUNDS} rounds are made"))?;
    let mut out = vec![0; length];
    pbkdf2::derive(algorithm, rounds, salt, pass, &mut out);
    Ok(out)
}

fn hkdf_of(digest: &str, key: &[u8], salt: &[u8], info: &[u8], length: usize) -> Result<Vec<u8>, String> {
    let algorithm = match digest {
        "sha1" => hkdf::HKDF_SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => hkdf::HKDF_SHA256,
        "sha384" => hkdf::HKDF_SHA384,
        "sha512" => hkdf::HKDF_SHA512,
        other => return Err(format!("invalid digest type \"{other}\"")),
    };
    if length > LONGEST {
        return Err(format!("at most {LONGEST} bytes are derived"));
    }
    let mut out = vec![0; length];
    let extracted = hkdf::Salt::new(algorithm, salt).extract(key);
    let info = [info];
    extracted.expand(&info, Length(length)).and_then(|okm| okm.fill(&mut out)).map_err(failed)?;
    Ok(out)
}

fn given(value: Option<&LuaString>) -> Vec<u8> {
    value.map(|value| value.as_bytes().to_vec()).unwrap_or_default()
}

pub fn install(lua: &Lua, native: &Table) -> mlua::Result<()> {
    type Arguments =
        (LuaString, bool, LuaString, Option<LuaString>, LuaString, bool, Option<LuaString>, Option<LuaString>);
    add(lua, native, "cipher", |lua, (name, encrypt, key, iv, data, bare, aad, tag): Arguments| {
        let (key, iv, data, aad) = (given(Some(&key)), given(iv.as_ref()), given(Some(&data)), given(aad.as_ref()));
        let tag = tag.map(|tag| tag.as_bytes().to_vec());
        let job = Job { key: &key, iv: &iv, data: &data, padded: !bare, aad: &aad, tag: tag.as_deref(), encrypt };
        match run(&lossy(&name), &job) {
            Ok((out, tag)) => Ok((text(lua, Some(out))?, text(lua, tag)?)),
            Err(error) => Ok((Value::Nil, text(lua, Some(error))?)),
        }
    })?;
    type Derivation = (LuaString, LuaString, LuaString, LuaString, u32, usize);
    add(lua, native, "derive", |lua, (kind, digest, secret, salt, rounds, length): Derivation| {
        let (secret, salt, digest) = (secret.as_bytes().to_vec(), salt.as_bytes().to_vec(), lossy(&digest));
        if length > LONGEST {
            return Ok((Value::Nil, Some(format!("at most {LONGEST} bytes are derived"))));
        }
        let derived = match &*kind.as_bytes() {
            b"pbkdf2" => pbkdf2_of(&digest, &secret, &salt, rounds, length),
            _ => Err("unknown key derivation".to_owned()),
        };
        Ok(match derived {
            Ok(out) => (text(lua, Some(out))?, None),
            Err(error) => (Value::Nil, Some(error)),
        })
    })?;
    type Expansion = (LuaString, LuaString, LuaString, LuaString, usize);
    add(lua, native, "hkdf", |lua, (digest, key, salt, info, length): Expansion| {
        let (key, salt, info) = (key.as_bytes().to_vec(), salt.as_bytes().to_vec(), info.as_bytes().to_vec());
        Ok(match hkdf_of(&lossy(&digest), &key, &salt, &info, length) {
            Ok(out) => (text(lua, Some(out))?, None),
            Err(error) => (Value::Nil, Some(error)),
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn job<'a>(key: &'a [u8], iv: &'a [u8], data: &'a [u8], encrypt: bool) -> Job<'a> {
        Job { key, iv, data, padded: true, aad: b"", tag: None, encrypt }
    }

    #[test]
    fn what_is_encrypted_is_decrypted_again() {
        for (name, key, iv) in [
            ("aes-128-cbc", 16, 16),
            ("aes-192-cbc", 24, 16),
            ("aes-256-cbc", 32, 16),
            ("aes-256-ctr", 32, 16),
            ("aes-256-ecb", 32, 0),
            ("aes-128-gcm", 16, 12),
            ("aes-192-gcm", 24, 12),
            ("aes-256-gcm", 32, 12),
            ("chacha20-poly1305", 32, 12),
        ] {
            let (key, iv) = (vec![7; key], vec![9; iv]);
            let (hidden, tag) = run(name, &job(&key, &iv, b"a text of any length", true)).unwrap();
            let back = Job { tag: tag.as_deref(), ..job(&key, &iv, &hidden, false) };
            assert_eq!(run(name, &back).unwrap().0, b"a text of any length", "{name}");
        }
    }

    #[test]
    fn a_tag_must_be_whole_and_right() {
        let (key, iv) = ([7; 32], [9; 12]);
        let (hidden, tag) = run("aes-256-gcm", &job(&key, &iv, b"text", true)).unwrap();
        let tag = tag.unwrap();
        for wrong in [&tag[..4], b"0123456789abcdef", b""] {
            let back = Job { tag: Some(wrong), ..job(&key, &iv, &hidden, false) };
            assert!(run("aes-256-gcm", &back).is_err());
        }
    }

    #[test]
    fn derived_keys_are_those_of_the_standard() {
        // RFC 6070, and RFC 5869 appendix A.1.
        let derived = pbkdf2_of("sha1", b"password", b"salt", 2, 20).unwrap();
        assert_eq!(&derived[..4], [0xea, 0x6c, 0x01, 0x4d]);
        let (salt, info): (Vec<u8>, Vec<u8>) = ((0..=12).collect(), (0xf0..=0xf9).collect());
        let derived = hkdf_of("sha256", &[0x0b; 22], &salt, &info, 42).unwrap();
        assert_eq!(&derived[..4], [0x3c, 0xb2, 0x5f, 0x25]);
    }
}
