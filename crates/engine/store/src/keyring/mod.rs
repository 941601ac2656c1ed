//! Encryption of secrets where they are stored: keys by their identifiers, one of which is the active one; values sealed
//! with it, and opened with the key that they name.
//!
//! A sealed value is a text: a mark, the identifier of its key, and in base64 a nonce, the ciphertext and its tag
//! (AES-256-GCM). It is bound to the entity it belongs to, so that whoever can write the database cannot move it to
//! another. The keys themselves lie in the database encrypted for those who hold a private key ([`wrap`]).

mod sealed;
mod wrap;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::StoreError;

pub use sealed::{Sealed, SealedWriter};
pub use wrap::{PrivateKey, PublicKey};

/// Begins a sealed value. Texts that clients send cannot become one: what they send is sealed itself.
const MARK: &str = "$sealed$";
/// Under which the keys are stored.
pub const PARAMETER: &str = "keyring";
/// More keys than this are not kept.
const MOST: usize = 1_000;
/// Characters of an identifier.
const ID_LENGTH: usize = 8;

/// Why a keyring is not changed, or does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// No key has that identifier.
    #[error("key '{0}' is not in the keyring")]
    NoKey(String),
    /// The active key seals what is written.
    #[error("the active key cannot be removed; activate another first")]
    Active,
    /// Rows are sealed with it.
    #[error("key '{id}' cannot be removed: {kind} are encrypted with it; activate another, which encrypts them anew")]
    InUse {
        /// The key.
        id: String,
        /// Entities that are.
        kind: String,
    },
    /// None of its copies is for that private key, or it is damaged.
    #[error("the keyring cannot be opened with this private key")]
    NotOpened,
    /// No PEM of an RSA key of at least 2048 bits.
    #[error("the {0} key is no RSA key of at least 2048 bits in PEM")]
    BadKey(&'static str),
    /// Not what an export gives.
    #[error("the keys to import are not valid: {0}")]
    BadImport(&'static str),
    /// Too many keys.
    #[error("a keyring holds at most {MOST} keys")]
    Full,
}

impl From<KeyringError> for StoreError {
    fn from(error: KeyringError) -> Self {
        StoreError::new(error.to_string())
    }
}

/// One key.
#[derive(Clone)]
struct Key {
    bytes: [u8; 32],
    cipher: Arc<LessSafeKey>,
}

impl Key {
    fn new(bytes: [u8; 32]) -> Result<Self, KeyringError> {
        let key =
            UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| KeyringError::BadImport("a key is not of 32 bytes"))?;
        Ok(Key { bytes, cipher: Arc::new(LessSafeKey::new(key)) })
    }
}

/// The keys, in clear. Never stored or shown like this.
#[derive(Clone, Default)]
struct Ring {
    keys: BTreeMap<String, Key>,
    active: Option<String>,
}

impl Ring {
    /// A key is never replaced by another of its name: what it sealed could not be opened again.
    fn add(&mut self, id: &str, key: Key) -> Result<(), KeyringError> {
        if !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || !(1..=64).contains(&id.len()) {
            return Err(KeyringError::BadImport("an identifier is not 1 to 64 letters, digits and dashes"));
        }
        if self.keys.get(id).is_some_and(|known| known.bytes != key.bytes) {
            return Err(KeyringError::BadImport("another key has that identifier"));
        }
        if self.keys.len() >= MOST && !self.keys.contains_key(id) {
            return Err(KeyringError::Full);
        }
        self.keys.insert(id.to_owned(), key);
        Ok(())
    }

    fn to_text(&self) -> String {
        let keys: BTreeMap<&String, String> =
            self.keys.iter().map(|(id, key)| (id, STANDARD_NO_PAD.encode(key.bytes))).collect();
        json!({"active": self.active, "keys": keys}).to_string()
    }

    fn of_text(text: &[u8]) -> Result<Self, KeyringError> {
        let bad = KeyringError::BadImport;
        let value: Value = serde_json::from_slice(text).map_err(|_| bad("no JSON"))?;
        let mut ring = Ring::default();
        for (id, key) in value.get("keys").and_then(Value::as_object).ok_or(bad("no keys"))? {
            ring.add(id, Key::new(key_bytes(key.as_str().unwrap_or_default())?)?)?;
        }
        let active = value.get("active").and_then(Value::as_str).map(str::to_owned);
        ring.active = active.filter(|id| ring.keys.contains_key(id));
        Ok(ring)
    }
}

fn key_bytes(text: &str) -> Result<[u8; 32], KeyringError> {
    let bytes = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(KeyringError::BadImport("a key is not 32 bytes in base64"))
}

/// What is asked of a keyring. It goes to the thread that makes changes as a text.
#[derive(Clone)]
pub enum KeyringChange {
    /// A new key of that identifier. The first becomes the active one.
    Generate(String),
    /// From now on this key seals, and everything stored is sealed with it anew.
    Activate(String),
    /// A key is forgotten.
    Remove(String),
    /// Keys of an export are added.
    Import(String),
    /// A key that is known elsewhere is added: its identifier, and itself in base64.
    Add(String, String),
    /// What is in memory is stored again, for a node whose own key could not open it.
    Keep,
}

impl KeyringChange {
    pub(crate) fn to_text(&self) -> String {
        match self {
            KeyringChange::Generate(id) => format!("generate {id}"),
            KeyringChange::Activate(id) => format!("activate {id}"),
            KeyringChange::Remove(id) => format!("remove {id}"),
            KeyringChange::Import(data) => format!("import {data}"),
            KeyringChange::Add(id, key) => format!("add {id} {key}"),
            KeyringChange::Keep => "keep ".to_owned(),
        }
    }

    fn of_text(text: &str) -> Option<Self> {
        let (verb, what) = text.split_once(' ')?;
        let what = what.to_owned();
        Some(match verb {
            "generate" => KeyringChange::Generate(what),
            "activate" => KeyringChange::Activate(what),
            "remove" => KeyringChange::Remove(what),
            "import" => KeyringChange::Import(what),
            "add" => what.split_once(' ').map(|(id, key)| KeyringChange::Add(id.to_owned(), key.to_owned()))?,
            "keep" => KeyringChange::Keep,
            _ => return None,
        })
    }
}

/// The keyring of a node.
pub struct Keyring {
    inner: RwLock<Inner>,
    /// Who may open what is stored: holders of these keys' private halves.
    readers: Vec<PublicKey>,
    /// With which this node opens it.
    own: Option<PrivateKey>,
}

#[derive(Default)]
struct Inner {
    /// `None` while what is stored cannot be opened.
    ring: Option<Ring>,
    /// The stored keys as last read or written, so that reading them again costs nothing.
    stored: Option<String>,
}

impl Keyring {
    /// An empty one. `readers` can open what is stored; without any, nothing would ever be opened again.
    #[must_use]
    pub fn new(readers: Vec<PublicKey>, own: Option<PrivateKey>) -> Arc<Self> {
        Arc::new(Keyring { inner: RwLock::default(), readers, own })
    }

    /// An identifier for a new key.
    #[must_use]
    pub fn new_id() -> String {
        Uuid::new_v4().simple().to_string().chars().take(ID_LENGTH).collect()
    }

    /// Whether what is stored cannot be opened yet, so that nothing can be read or written.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.with(|inner| inner.ring.is_none() && inner.stored.is_some())
    }

    /// The active key and all keys, by identifier.
    #[must_use]
    pub fn ids(&self) -> (Option<String>, Vec<String>) {
        self.with(|inner| match &inner.ring {
            Some(ring) => (ring.active.clone(), ring.keys.keys().cloned().collect()),
            None => (None, Vec::new()),
        })
    }

    /// A key in base64, to be shown once to whoever had it made.
    #[must_use]
    pub fn key(&self, id: &str) -> Option<String> {
        self.with(|inner| Some(STANDARD.encode(inner.ring.as_ref()?.keys.get(id)?.bytes)))
    }

    /// All keys, encrypted for this node's own public key, which comes first.
    ///
    /// # Errors
    /// It is locked.
    pub fn export(&self) -> Result<String, KeyringError> {
        let readers = self.readers.get(..1).unwrap_or_default();
        self.with(|inner| wrap::wrap(inner.ring.as_ref().ok_or(KeyringError::NotOpened)?.to_text().as_bytes(), readers))
    }

    /// Opens what is stored with another private key; returns the identifiers of its keys. Follow it with
    /// [`KeyringChange::Keep`].
    ///
    /// # Errors
    /// It is not for that key.
    pub fn recover(&self, key: &PrivateKey) -> Result<Vec<String>, KeyringError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let stored = inner.stored.as_deref().ok_or(KeyringError::NotOpened)?;
        let ring = Ring::of_text(&wrap::unwrap(stored, key)?)?;
        let ids = ring.keys.keys().cloned().collect();
        inner.ring = Some(ring);
        Ok(ids)
    }

    /// Whether a change would be made, but for what is stored meanwhile.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, change: &KeyringChange) -> Result<(), KeyringError> {
        self.changed(change).map(drop)
    }

    fn with<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in the keys as they are stored. What cannot be opened leaves a keyring that is known as it is.
    fn take_in(&self, stored: &str) {
        if self.with(|inner| inner.stored.as_deref() == Some(stored)) {
            return;
        }
        let opened = self.own.as_ref().ok_or(KeyringError::NotOpened);
        let opened = opened.and_then(|key| Ring::of_text(&wrap::unwrap(stored, key)?));
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.stored = Some(stored.to_owned());
        match opened {
            Ok(ring) => inner.ring = Some(ring),
            Err(error) => tracing::error!("the stored keyring: {error}"),
        }
    }

    /// The keyring after a change, and the text to store for it.
    fn changed(&self, change: &KeyringChange) -> Result<(Ring, String), KeyringError> {
        let mut ring = match self.with(|inner| (inner.ring.clone(), inner.stored.is_some())) {
            (Some(ring), _) => ring,
            (None, false) => Ring::default(),
            (None, true) => return Err(KeyringError::NotOpened),
        };
        let known = |ring: &Ring, id: &String| match ring.keys.contains_key(id) {
            true => Ok(()),
            false => Err(KeyringError::NoKey(id.clone())),
        };
        match change {
            KeyringChange::Generate(id) => {
                let mut bytes = [0; 32];
                aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyringError::BadImport("no randomness"))?;
                ring.add(id, Key::new(bytes)?)?;
                ring.active.get_or_insert_with(|| id.clone());
            }
            KeyringChange::Activate(id) => {
                known(&ring, id)?;
                ring.active = Some(id.clone());
            }
            KeyringChange::Remove(id) => {
                known(&ring, id)?;
                if ring.active.as_ref() == Some(id) {
                    return Err(KeyringError::Active);
                }
                ring.keys.remove(id);
            }
            KeyringChange::Import(data) => {
                let own = self.own.as_ref().ok_or(KeyringError::NotOpened)?;
                for (id, key) in Ring::of_text(&wrap::unwrap(data, own)?)?.keys {
                    ring.add(&id, key)?;
                }
            }
            KeyringChange::Add(id, key) => ring.add(id, Key::new(key_bytes(key)?)?)?,
            KeyringChange::Keep => {}
        }
        let stored = self.with(|inner| inner.stored.clone());
        let text = match (change, stored) {
            // Stored for this node's readers alone, it would lock out the nodes that can open it.
            (KeyringChange::Keep, Some(stored)) if self.own.is_none() => stored,
            _ => wrap::wrap(ring.to_text().as_bytes(), &self.readers)?,
        };
        Ok((ring, text))
    }

    fn set(&self, ring: Ring, stored: String) {
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = Inner { ring: Some(ring), stored: Some(stored) };
    }

    /// A value as it is stored. `of` names what it belongs to.
    fn seal(&self, of: &str, value: &Value) -> Result<Value, StoreError> {
        let (id, cipher) = self
            .with(|inner| {
                let ring = inner.ring.as_ref()?;
                let id = ring.active.as_ref()?;
                Some((id.clone(), Arc::clone(&ring.keys.get(id)?.cipher)))
            })
            .ok_or_else(|| StoreError::new("the keyring has no active key"))?;
        Ok(Value::String(format!("{MARK}{id}${}", encrypt(&cipher, of, value.to_string().into_bytes())?)))
    }

    /// The value behind a stored one. `Ok(None)` if its key is not known.
    fn open(&self, of: &str, sealed: &str) -> Result<Option<Value>, StoreError> {
        let damaged = || StoreError::new(format!("a stored secret of {of} is damaged"));
        let (id, text) = sealed.strip_prefix(MARK).and_then(|rest| rest.split_once('$')).ok_or_else(damaged)?;
        let cipher = self.with(|inner| Some(Arc::clone(&inner.ring.as_ref()?.keys.get(id)?.cipher)));
        let Some(cipher) = cipher else { return Ok(None) };
        let clear = decrypt(&cipher, of, text).ok_or_else(damaged)?;
        serde_json::from_slice(&clear).map(Some).map_err(|_| damaged())
    }
}

/// Nonce, ciphertext and tag, in base64.
fn encrypt(cipher: &LessSafeKey, of: &str, mut text: Vec<u8>) -> Result<String, KeyringError> {
    // 96 random bits: safe for 2^32 values of one key (NIST SP 800-38D, section 8.3), far above what a store holds.
    let mut nonce = [0; NONCE_LEN];
    let failed = |_| KeyringError::BadImport("no randomness");
    aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
    let sealing = Nonce::assume_unique_for_key(nonce);
    cipher.seal_in_place_append_tag(sealing, Aad::from(of.as_bytes()), &mut text).map_err(failed)?;
    Ok(STANDARD_NO_PAD.encode([&nonce[..], &text].concat()))
}

fn decrypt(cipher: &LessSafeKey, of: &str, text: &str) -> Option<Vec<u8>> {
    let mut bytes = STANDARD_NO_PAD.decode(text).ok()?;
    let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    cipher.open_in_place(nonce, Aad::from(of.as_bytes()), sealed).ok().map(|clear| clear.to_vec())
}
