//! Cryptography that plugins ask of OpenSSL's Lua binding: keys, ciphers, certificates, numbers. The names and the shape of
//! the interface are Lua of ours (`lua/lib/openssl_*.lua`); here is what computes.

mod certificate;
mod chain;
mod cipher;
mod der;
mod encrypted;
mod key;
mod numbers;
mod operations;

use mlua::{AnyUserData, Lua, LuaString, Table, Value};

use self::key::{Key, RsaPrivate};
use self::operations::Padding;
use super::{add, lossy, text};
use crate::json::{self, Nulls};

/// A key or a reason, as two values.
fn given(lua: &Lua, key: Result<Key, String>) -> mlua::Result<(Value, Option<String>)> {
    Ok(match key {
        Ok(key) => (Value::UserData(lua.create_any_userdata(key)?), None),
        Err(error) => (Value::Nil, Some(error)),
    })
}

fn bytes(lua: &Lua, outcome: Result<Vec<u8>, String>) -> mlua::Result<(Value, Option<String>)> {
    Ok(match outcome {
        Ok(bytes) => (text(lua, Some(bytes))?, None),
        Err(error) => (Value::Nil, Some(error)),
    })
}

pub fn install(lua: &Lua, native: &Table) -> mlua::Result<()> {
    cipher::install(lua, native)?;
    numbers::install(lua, native)?;
    certificate::install(lua, native)?;
    keys(lua, native)?;
    operations(lua, native)
}

fn keys(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "key_read", |lua, (source, passphrase): (LuaString, Option<LuaString>)| {
        let passphrase = passphrase.map(|text| text.as_bytes().to_vec());
        given(lua, Key::read_with(&source.as_bytes(), passphrase.as_deref()))
    })?;
    add(lua, native, "key_generate", |lua, (kind, bits, curve): (LuaString, u32, LuaString)| {
        given(lua, operations::generate(&lossy(&kind), bits, &lossy(&curve)))
    })?;
    add(lua, native, "key_is_private", |_, key: AnyUserData| Ok(key.borrow::<Key>()?.is_private()))?;
    // Kind, size of a signature or modulus in bytes, number of the curve.
    add(lua, native, "key_kind", |_, key: AnyUserData| {
        Ok(match &*key.borrow::<Key>()? {
            Key::Rsa { n, .. } => ("RSA", n.len(), None),
            Key::Ec { curve, .. } => ("EC", curve.size() * 2 + 8, Some(curve.nid())),
            Key::Ed25519 { .. } => ("Ed25519", 64, None),
            Key::X25519 { .. } => ("X25519", 32, None),
        })
    })?;
    // A form of the key: nothing where there is no such form.
    add(lua, native, "key_write", |lua, (key, form): (AnyUserData, LuaString)| {
        let key = key.borrow::<Key>()?;
        let pem = |label: &str, der: Vec<u8>| super::text::pem(label, &der).into_bytes();
        let written = match &*form.as_bytes() {
            b"public DER" => Some(key.spki()),
            b"public PEM" => Some(pem("PUBLIC KEY", key.spki())),
            b"public PKCS1" => key.pkcs1_public().map(|der| pem("RSA PUBLIC KEY", der)),
            b"public JWK" => Some(key.jwk(false).to_string().into_bytes()),
            b"private DER" => key.pkcs8(),
            b"private PEM" => key.pkcs8().map(|der| pem("PRIVATE KEY", der)),
            b"private PKCS1" => key.traditional().map(|(label, der)| pem(label, der)),
            b"private JWK" if key.is_private() => Some(key.jwk(true).to_string().into_bytes()),
            _ => None,
        };
        text(lua, written)
    })?;
    add(lua, native, "key_parameters", |lua, key: AnyUserData| {
        let parameters = lua.create_table()?;
        let put = |name: &str, number: &[u8]| parameters.raw_set(name, lua.create_string(number)?);
        match &*key.borrow::<Key>()? {
            Key::Rsa { n, e, private } => {
                put("n", n)?;
                put("e", e)?;
                if let Some(RsaPrivate { d, p, q, dp, dq, qi }) = private {
                    for (name, number) in [("d", d), ("p", p), ("q", q), ("dmp1", dp), ("dmq1", dq), ("iqmp", qi)] {
                        put(name, number)?;
                    }
                }
            }
            Key::Ec { curve, point, d } => {
                let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(curve.size()).unwrap_or_default();
                put("x", x)?;
                put("y", y)?;
                put("pub_key", point)?;
                if let Some(d) = d {
                    put("priv_key", d)?;
                }
            }
            Key::Ed25519 { x, d } | Key::X25519 { x, d } => {
                put("public", x)?;
                if let Some(d) = d {
                    put("private", d)?;
                }
            }
        }
        Ok(parameters)
    })?;
    add(lua, native, "key_jwk", |lua, (key, private): (AnyUserData, bool)| {
        let jwk = key.borrow::<Key>()?.jwk(private);
        json::to_lua(lua, &jwk, Nulls::Dropped)
    })?;
    add(lua, native, "key_public_equals", |_, (a, b): (AnyUserData, AnyUserData)| {
        Ok(a.borrow::<Key>()?.spki() == b.borrow::<Key>()?.spki())
    })
}

fn operations(lua: &Lua, native: &Table) -> mlua::Result<()> {
    const WRONG_PADDING: &str = "this padding is not supported";
    type Sign = (AnyUserData, LuaString, LuaString, Option<i64>, bool);
    add(lua, native, "key_sign", |lua, (key, message, digest, padding, raw): Sign| {
        let Some(padding) = Padding::numbered(padding) else { return Ok((Value::Nil, Some(WRONG_PADDING.to_owned()))) };
        let signed = operations::sign(&*key.borrow::<Key>()?, &message.as_bytes(), &lossy(&digest), padding, raw);
        bytes(lua, signed)
    })?;
    type Verify = (AnyUserData, LuaString, LuaString, LuaString, Option<i64>, bool);
    add(lua, native, "key_verify", |_, (key, signature, message, digest, padding, raw): Verify| {
        let Some(padding) = Padding::numbered(padding) else { return Ok((None, Some(WRONG_PADDING.to_owned()))) };
        let key = key.borrow::<Key>()?;
        let (message, signature) = (message.as_bytes(), signature.as_bytes());
        Ok(match operations::verify(&key, &message, &signature, &lossy(&digest), padding, raw) {
            Ok(right) => (Some(right), None),
            Err(error) => (None, Some(error)),
        })
    })?;
    type Crypt = (AnyUserData, LuaString, LuaString, Option<i64>, bool);
    add(lua, native, "key_crypt", |lua, (key, data, digest, padding, encrypt): Crypt| {
        let Some(padding) = Padding::numbered(padding) else { return Ok((Value::Nil, Some(WRONG_PADDING.to_owned()))) };
        let (key, data, digest) = (key.borrow::<Key>()?, data.as_bytes().to_vec(), lossy(&digest));
        bytes(
            lua,
            match encrypt {
                true => operations::encrypt(&key, &data, &digest, padding),
                false => operations::decrypt(&key, &data, &digest, padding),
            },
        )
    })?;
    add(lua, native, "key_agree", |lua, (own, peer): (AnyUserData, AnyUserData)| {
        bytes(lua, operations::agree(&*own.borrow::<Key>()?, &*peer.borrow::<Key>()?))
    })?;
    // Between the two forms of a signature of ECDSA.
    add(lua, native, "signature_to_raw", |lua, (der, size): (LuaString, usize)| {
        text(lua, der::raw_signature(&der.as_bytes(), size))
    })?;
    add(lua, native, "signature_to_der", |lua, (raw, size): (LuaString, usize)| {
        text(lua, der::der_signature(&raw.as_bytes(), size))
    })
}
