//! The test rig of this family: the common one, with people who come and go while a test runs, requests made of text
//! and answers shown as text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use gibbon_pdk::{
    Consumer, ConsumerGroup, Credential, CredentialKind, Directory, Exchange, Handler, Part, Random, Reply, ReplyBody,
};
use gibbon_rig::{Ended, People};
use serde_json::Value;
use smallvec::SmallVec;
use uuid::Uuid;

/// A world whose directory a test may still change.
pub struct Rig {
    pub world: gibbon_rig::Rig,
    people: Arc<Mutex<People>>,
}

impl Default for Rig {
    fn default() -> Self {
        let people = Arc::new(Mutex::new(People::default()));
        let mut world = gibbon_rig::Rig::new();
        world.host.directory = Rc::new(Shared(Arc::clone(&people)));
        world.host.random = Arc::new(Mixed::default());
        Rig { world, people }
    }
}

impl Deref for Rig {
    type Target = gibbon_rig::Rig;

    fn deref(&self) -> &gibbon_rig::Rig {
        &self.world
    }
}

pub fn id(n: u8) -> Uuid {
    Uuid::from_bytes([n; 16])
}

impl Rig {
    /// A consumer with that user name, and a number for its id.
    pub fn consumer(&self, n: u8, username: &str) -> Uuid {
        self.add_consumer(n, Some(username), None)
    }

    pub fn add_consumer(&self, n: u8, username: Option<&str>, custom_id: Option<&str>) -> Uuid {
        let consumer = Consumer {
            id: id(n),
            username: username.map(Into::into),
            custom_id: custom_id.map(Into::into),
            tags: SmallVec::new(),
            created_at: 0,
            updated_at: 0,
        };
        self.people.lock().unwrap().consumers.push(Arc::new(consumer));
        id(n)
    }

    pub fn credential(&self, kind: &'static str, n: u8, consumer: Uuid, key: &str, fields: &[(&'static str, &str)]) {
        self.add_credential(kind, n, consumer, key, fields, None);
    }

    pub fn add_credential(
        &self,
        kind: &'static str,
        n: u8,
        consumer: Uuid,
        key: &str,
        fields: &[(&'static str, &str)],
        document: Option<Value>,
    ) {
        let credential = Credential {
            id: id(n),
            consumer: Some(consumer),
            key: key.into(),
            fields: fields.iter().map(|(name, value)| (*name, Box::from(*value))).collect(),
            document: document.map(Arc::new),
            expires_at: None,
        };
        self.people.lock().unwrap().credentials.push((CredentialKind(kind), Arc::new(credential)));
    }

    pub fn group(&self, n: u8, consumer: Uuid, name: &str) {
        let group = Arc::new(ConsumerGroup { id: id(n), name: name.into() });
        self.people.lock().unwrap().groups.push((consumer, group));
    }

    /// Takes a consumer out of the directory.
    pub fn forget(&self, consumer: Uuid) {
        self.people.lock().unwrap().consumers.retain(|c| c.id != consumer);
    }

    /// Takes a credential out of the directory.
    pub fn forget_credential(&self, credential: Uuid) {
        self.people.lock().unwrap().credentials.retain(|(_, c)| c.id != credential);
    }

    pub fn handler(&self, part: &Part, config: Value) -> Arc<dyn Handler> {
        self.world.handler(part, config)
    }

    /// Runs the access step to its end; the reply, if it gives one.
    pub fn access(&self, handler: &dyn Handler, x: &mut Exchange) -> Option<Reply> {
        match self.world.access(handler, x) {
            Ended::Next => None,
            Ended::Reply(reply) => Some(*reply),
            Ended::Fault(fault) => Some(Reply::message(fault.status(), &fault.cause)),
        }
    }

    /// The access step must let the request pass.
    pub fn passes(&self, handler: &dyn Handler, x: &mut Exchange) {
        if let Some(reply) = self.access(handler, x) {
            panic!("refused: {}", shown(&reply));
        }
    }

    /// The access step must answer.
    pub fn refuses(&self, handler: &dyn Handler, x: &mut Exchange) -> Reply {
        self.access(handler, x).expect("the request passed")
    }
}

/// A request as text: `GET /path`, then header lines; what follows an empty line is an unread body.
pub fn request(text: &str) -> Exchange {
    let (head, body) = text.split_once("\n\n").map_or((text, None), |(h, b)| (h, Some(b)));
    let mut lines = head.lines();
    let first = lines.next().unwrap();
    let headers: Vec<(&str, &str)> =
        lines.map(|line| line.split_once(':').map(|(n, v)| (n.trim(), v.trim())).unwrap()).collect();
    let x = gibbon_rig::request(first, &headers);
    match body {
        Some(body) => gibbon_rig::with_body(x, body),
        None => x,
    }
}

/// Status, message or body, and challenge of a reply in one line.
pub fn shown(reply: &Reply) -> String {
    let body = match &reply.body {
        ReplyBody::Empty => String::new(),
        ReplyBody::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ReplyBody::Json(value) => value.to_string(),
        ReplyBody::Error(message) => message.as_deref().unwrap_or("-").to_owned(),
    };
    let challenge = reply.headers.get_str("www-authenticate").map(|c| format!(" [{c}]")).unwrap_or_default();
    format!("{} {body}{challenge}", reply.status)
}

/// What the upstream would see of an exchange: the value of a header.
pub fn upstream<'a>(x: &'a Exchange, name: &str) -> Option<&'a str> {
    x.request.headers.get_str(name)
}

/// The same bytes in each run that look like none before them, since secrets must not repeat: SplitMix64.
#[derive(Default)]
struct Mixed(AtomicU64);

impl Random for Mixed {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

struct Shared(Arc<Mutex<People>>);

impl Directory for Shared {
    fn consumer(&self, id: Uuid) -> Option<Arc<Consumer>> {
        self.0.lock().unwrap().consumer(id)
    }

    fn consumer_by_username(&self, workspace: Uuid, username: &str) -> Option<Arc<Consumer>> {
        self.0.lock().unwrap().consumer_by_username(workspace, username)
    }

    fn consumer_by_custom_id(&self, workspace: Uuid, custom_id: &str) -> Option<Arc<Consumer>> {
        self.0.lock().unwrap().consumer_by_custom_id(workspace, custom_id)
    }

    fn credential(&self, workspace: Uuid, kind: CredentialKind, key: &str) -> Option<Arc<Credential>> {
        self.0.lock().unwrap().credential(workspace, kind, key)
    }

    fn credential_by_id(&self, kind: CredentialKind, id: Uuid) -> Option<Arc<Credential>> {
        self.0.lock().unwrap().credential_by_id(kind, id)
    }

    fn credentials_of(&self, kind: CredentialKind, consumer: Uuid) -> SmallVec<[Arc<Credential>; 4]> {
        self.0.lock().unwrap().credentials_of(kind, consumer)
    }

    fn groups_of(&self, consumer: Uuid) -> Option<Arc<[Arc<ConsumerGroup>]>> {
        self.0.lock().unwrap().groups_of(consumer)
    }
}
