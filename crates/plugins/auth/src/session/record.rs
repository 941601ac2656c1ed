//! What is inside of a session, and when it ends.
//!
//! The contents are a list, one entry per audience: `[[consumer, credential, groups], audience, subject]`. Applications
//! share a cookie; each sees and changes its own entry only.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use gibbon_pdk::Exchange;
use serde_json::{Value, json};
use uuid::Uuid;

use super::config::{Bind, Config, Property};
use super::seal::{Header, Verified};

/// Contents above this are compressed.
const COMPRESS_ABOVE: usize = 1024;
/// Compressed contents are ours and authentic; the bound is against a mistake, not an attack.
const MAX_CONTENTS: u64 = 16 << 20;
/// A session used again within a minute is not noted as used: the cookie need not change.
const TOUCH_AFTER: u64 = 60;

/// Timeouts in seconds; 0 is without end.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub idling: u64,
    pub rolling: u64,
    pub absolute: u64,
}

impl Timeouts {
    pub fn of_session(config: &Config) -> Timeouts {
        Timeouts {
            idling: seconds(config.idling_timeout, 900),
            rolling: seconds(config.rolling_timeout, 3600),
            absolute: seconds(config.absolute_timeout, 86_400),
        }
    }

    pub fn of_remember(config: &Config) -> Timeouts {
        Timeouts {
            idling: 0,
            rolling: seconds(config.remember_rolling_timeout, 604_800),
            absolute: seconds(config.remember_absolute_timeout, 2_592_000),
        }
    }

    /// Whether the session has not ended yet.
    pub fn allow(&self, header: &Header, now: u64) -> bool {
        let age = now.saturating_sub(header.created);
        let rolled = age.saturating_sub(header.rolling_offset);
        let idle = rolled.saturating_sub(header.idling_offset);
        [(age, self.absolute), (rolled, self.rolling), (idle, self.idling)].iter().all(|(t, max)| *max == 0 || t <= max)
    }
}

pub fn seconds(value: Option<f64>, default: u64) -> u64 {
    value.map_or(default, |v| v.max(0.0) as u64)
}

/// What must be done with an open session to keep it open.
#[derive(Debug, PartialEq, Eq)]
pub enum Renewal {
    NotYet,
    /// Note that it was used, this many seconds after the last renewal.
    Touch(u64),
    /// Replace it by a new one.
    Roll,
}

/// Who the session is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub consumer: Uuid,
    pub credential: Option<Uuid>,
    pub groups: Option<Vec<String>>,
}

/// A session that was opened or is to be made.
#[derive(Clone)]
pub struct Session {
    /// Entries of all audiences.
    entries: Vec<Value>,
    /// Which of them is ours, if it is there.
    index: Option<usize>,
    /// The envelope it came in.
    pub envelope: Option<Verified>,
    /// The first cookie it came in.
    pub first_cookie: String,
}

impl Session {
    #[must_use]
    pub fn new() -> Session {
        Session { entries: Vec::new(), index: None, envelope: None, first_cookie: String::new() }
    }

    /// Reads decrypted contents.
    #[must_use]
    pub fn read(
        envelope: Verified,
        first_cookie: String,
        contents: &[u8],
        deflated: bool,
        audience: &str,
    ) -> Option<Session> {
        let value: Value = if deflated {
            let mut plain = Vec::new();
            DeflateDecoder::new(contents).take(MAX_CONTENTS).read_to_end(&mut plain).ok()?;
            serde_json::from_slice(&plain).ok()?
        } else {
            serde_json::from_slice(contents).ok()?
        };
        let Value::Array(entries) = value else { return None };
        let index = entries.iter().position(|entry| entry.get(1).and_then(Value::as_str) == Some(audience));
        Some(Session { entries, index, envelope: Some(envelope), first_cookie })
    }

    /// Contents for encryption, and whether they are compressed.
    #[must_use]
    pub fn write(&self) -> (Vec<u8>, bool) {
        let plain = Value::Array(self.entries.clone()).to_string().into_bytes();
        if plain.len() > COMPRESS_ABOVE {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            let compressed = encoder.write_all(&plain).and_then(|()| encoder.finish());
            if let Ok(compressed) = compressed
                && compressed.len() < plain.len()
            {
                return (compressed, true);
            }
        }
        (plain, false)
    }

    /// Whether the session is for our audience.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.index.is_some()
    }

    fn entry(&self) -> Option<&Value> {
        self.entries.get(self.index?)
    }

    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        let data = self.entry()?.get(0)?;
        let id = |at: usize| data.get(at).and_then(Value::as_str).and_then(|text| Uuid::parse_str(text).ok());
        let groups = data.get(2).and_then(Value::as_array);
        let groups = groups.map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        Some(Identity { consumer: id(0)?, credential: id(1), groups })
    }

    /// Puts our entry in.
    pub fn set(&mut self, identity: &Identity, audience: &str, subject: &str) {
        let credential = identity.credential.unwrap_or(identity.consumer);
        let mut data = vec![json!(identity.consumer.to_string()), json!(credential.to_string())];
        data.extend(identity.groups.as_ref().map(|groups| json!(groups)));
        let entry = json!([data, audience, subject]);
        match self.index.and_then(|index| self.entries.get_mut(index)) {
            Some(place) => *place = entry,
            None => {
                self.index = Some(self.entries.len());
                self.entries.push(entry);
            }
        }
    }

    /// Takes our entry out; whether others are left.
    pub fn leave(&mut self) -> bool {
        if let Some(index) = self.index.take()
            && index < self.entries.len()
        {
            self.entries.remove(index);
        }
        !self.entries.is_empty()
    }

    /// Audiences and subjects of all entries that have both.
    pub fn audiences(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().filter_map(|entry| Some((entry.get(1)?.as_str()?, entry.get(2)?.as_str()?)))
    }

    #[must_use]
    pub fn renewal(&self, timeouts: &Timeouts, now: u64) -> Renewal {
        let Some(header) = self.envelope.as_ref().map(|e| &e.header) else { return Renewal::NotYet };
        let rolled = now.saturating_sub(header.created).saturating_sub(header.rolling_offset);
        if timeouts.rolling > 0 && rolled > timeouts.rolling * 3 / 4 {
            return Renewal::Roll;
        }
        if timeouts.idling > 0 && rolled.saturating_sub(header.idling_offset) > TOUCH_AFTER {
            return Renewal::Touch(rolled);
        }
        Renewal::NotYet
    }

    /// The value of a header that tells a fact of this session.
    #[must_use]
    pub fn property(&self, property: Property, timeouts: &Timeouts, now: u64) -> Option<String> {
        let header = &self.envelope.as_ref()?.header;
        let age = now.saturating_sub(header.created);
        let rolled = age.saturating_sub(header.rolling_offset);
        let idle = rolled.saturating_sub(header.idling_offset);
        let left = |timeout: u64, passed: u64| (timeout > 0).then(|| timeout.saturating_sub(passed));
        let idling = left(timeouts.idling, idle);
        let rolling = left(timeouts.rolling, rolled);
        let absolute = left(timeouts.absolute, age);
        let text = |at: usize| self.entry().and_then(|e| e.get(at)).and_then(Value::as_str).map(str::to_owned);
        match property {
            Property::Id => Some(URL_SAFE_NO_PAD.encode(header.id)),
            Property::Audience => text(1),
            Property::Subject => text(2),
            Property::Timeout => [idling, rolling, absolute].into_iter().flatten().min().map(|t| t.to_string()),
            Property::IdlingTimeout => idling.map(|t| t.to_string()),
            Property::RollingTimeout => rolling.map(|t| t.to_string()),
            Property::AbsoluteTimeout => absolute.map(|t| t.to_string()),
        }
    }
}

impl Property {
    /// The header that tells it.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Property::Id => "Session-Id",
            Property::Audience => "Session-Audience",
            Property::Subject => "Session-Subject",
            Property::Timeout => "Session-Timeout",
            Property::IdlingTimeout => "Session-Idling-Timeout",
            Property::RollingTimeout => "Session-Rolling-Timeout",
            Property::AbsoluteTimeout => "Session-Absolute-Timeout",
        }
    }
}

/// What ties a session to its request: empty if nothing does.
pub fn bound(x: &Exchange, binds: &[Bind]) -> Vec<u8> {
    let mut out = Vec::new();
    for bind in binds {
        match bind {
            Bind::Ip => out.extend_from_slice(x.client.ip.to_string().as_bytes()),
            Bind::Scheme => out.extend_from_slice(x.forwarded_scheme().as_bytes()),
            Bind::UserAgent => out.extend_from_slice(x.request.headers.get("user-agent").unwrap_or_default()),
        }
        out.push(0);
    }
    out
}
