//! The caller's identity: what is set when it is known, and what happens when it is not.
//!
//! Every authentication plugin ends in one of three ways. It [recognised](accept) the caller; it was not able to and
//! the configuration names an [anonymous consumer](Anonymous) to take its place; or it refuses. Headers that speak
//! of identity are always set *or removed*: a client that sends them itself must never get through with them.

use std::sync::Arc;

use gibbon_message::{Headers, Method};
use gibbon_pdk::{BuildError, Consumer, Credential, Exchange, Fault, Flow, Host, Reply, Step};
use gibbon_schema::Schema;
use serde_json::Value;
use uuid::Uuid;

const CONSUMER_ID: &str = "X-Consumer-ID";
const CONSUMER_CUSTOM_ID: &str = "X-Consumer-Custom-ID";
const CONSUMER_USERNAME: &str = "X-Consumer-Username";
const CREDENTIAL_IDENTIFIER: &str = "X-Credential-Identifier";
const ANONYMOUS_CONSUMER: &str = "X-Anonymous-Consumer";

/// Headers that carry identity to the upstream besides those [`accept`] sets.
pub const CONSUMER_GROUPS: &str = "X-Consumer-Groups";
pub const AUTHENTICATED_GROUPS: &str = "X-Authenticated-Groups";

/// Why a plugin does not know the caller.
#[derive(Debug)]
pub enum Denied {
    /// The client's doing: it is refused, or becomes the anonymous consumer.
    Refused(Box<Reply>),
    /// Ours: never papered over by an anonymous consumer.
    Failed(Box<Fault>),
    /// Not decided yet: the plugin needs the request's body first.
    NeedsBody,
}

impl From<Reply> for Denied {
    fn from(reply: Reply) -> Self {
        Denied::Refused(Box::new(reply))
    }
}

impl From<Fault> for Denied {
    fn from(fault: Fault) -> Self {
        Denied::Failed(Box::new(fault))
    }
}

/// Somebody who proved who they are. A directory of another house (LDAP) vouches for a name without a consumer.
#[derive(Debug)]
pub struct Caller {
    pub consumer: Option<Arc<Consumer>>,
    pub credential: Arc<Credential>,
}

impl Caller {
    /// The consumer that a credential belongs to.
    ///
    /// # Errors
    /// When there is none: credentials go with their consumers, so that is a fault of ours.
    pub fn of(credential: Arc<Credential>, host: &Host) -> Result<Caller, Denied> {
        let Some(consumer) = credential.consumer.and_then(|id| host.directory.consumer(id)) else {
            return Err(Fault::plugin(format!("credential {} belongs to no consumer", credential.id)).into());
        };
        Ok(Caller { consumer: Some(consumer), credential })
    }
}

/// Which text stands for a credential towards the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// Its id: the key itself is a secret.
    Id,
    /// What it is looked up by: a user name, a client id.
    Key,
}

/// Makes `caller` the one this exchange runs for.
pub fn accept(x: &mut Exchange, host: &Host, caller: Caller, identifier: Identifier) {
    set_consumer(x, host, caller.consumer);
    let headers = &mut x.request.headers;
    match identifier {
        Identifier::Id => append_id(headers, CREDENTIAL_IDENTIFIER, caller.credential.id),
        Identifier::Key => headers.append(CREDENTIAL_IDENTIFIER, caller.credential.key.as_bytes()),
    }
    x.credential = Some(caller.credential);
}

/// Replaces whatever the client or another plugin said about the caller.
fn set_consumer(x: &mut Exchange, host: &Host, consumer: Option<Arc<Consumer>>) {
    let headers = &mut x.request.headers;
    headers.retain(|name, _| !speaks_of_the_caller(name));
    if let Some(consumer) = &consumer {
        append_id(headers, CONSUMER_ID, consumer.id);
        if let Some(custom_id) = &consumer.custom_id {
            headers.append(CONSUMER_CUSTOM_ID, &**custom_id);
        }
        if let Some(username) = &consumer.username {
            headers.append(CONSUMER_USERNAME, &**username);
        }
    }
    x.consumer_groups = consumer.as_ref().and_then(|c| host.directory.groups_of(c.id));
    x.consumer = consumer;
}

fn speaks_of_the_caller(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'x' | b'X'))
        && [CONSUMER_ID, CONSUMER_CUSTOM_ID, CONSUMER_USERNAME, CREDENTIAL_IDENTIFIER, ANONYMOUS_CONSUMER]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

fn append_id(headers: &mut Headers, name: &str, id: Uuid) {
    headers.append_clean(name.as_bytes(), id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
}

/// The setting `anonymous`: the consumer that a caller becomes when it is not recognised.
///
/// With it, several authentication plugins on a route are alternatives: whoever recognises the caller first wins.
/// Without it, each of them must.
#[derive(Debug)]
pub struct Anonymous {
    name: Option<Box<str>>,
    id: Option<Uuid>,
}

impl Anonymous {
    #[must_use]
    pub fn new(name: Option<String>) -> Self {
        Anonymous { id: name.as_deref().and_then(|n| Uuid::parse_str(n).ok()), name: name.map(Into::into) }
    }

    /// Whether another plugin recognised the caller before, so that this one has nothing to do.
    #[must_use]
    pub fn steps_aside(&self, x: &Exchange) -> bool {
        self.name.is_some() && x.credential.is_some()
    }

    /// Ends the step of a plugin: the caller is taken over, becomes anonymous, or is turned away.
    pub fn conclude(
        &self,
        x: &mut Exchange,
        host: &Host,
        verdict: Result<Caller, Denied>,
        identifier: Identifier,
    ) -> Flow {
        match verdict {
            Ok(caller) => {
                accept(x, host, caller, identifier);
                Flow::Next
            }
            Err(Denied::NeedsBody) => Flow::ReadBody,
            Err(Denied::Failed(fault)) => Flow::Fail(fault),
            Err(Denied::Refused(reply)) => match &self.name {
                None => Flow::Reply(reply),
                Some(name) => self.take_place(x, host, name),
            },
        }
    }

    fn take_place(&self, x: &mut Exchange, host: &Host, name: &str) -> Flow {
        let by_id = self.id.and_then(|id| host.directory.consumer(id));
        let Some(consumer) = by_id.or_else(|| host.directory.consumer_by_username(x.workspace, name)) else {
            let message = format!("anonymous consumer {name} is configured but doesn't exist");
            tracing::error!("{message}");
            return Reply::error_with(500, message).into();
        };
        set_consumer(x, host, Some(consumer));
        x.request.headers.append_clean(ANONYMOUS_CONSUMER.as_bytes(), b"true");
        x.credential = None;
        Flow::Next
    }
}

/// The value of `WWW-Authenticate` that names the scheme, and the realm if one is set.
#[must_use]
pub fn challenge(scheme: &str, realm: Option<&str>) -> Box<str> {
    match realm {
        Some(realm) => format!("{scheme} realm=\"{realm}\"").into(),
        None => scheme.into(),
    }
}

/// 401 in the form the client asks for, with a challenge.
#[must_use]
pub fn unauthorized(message: &'static str, challenge: &str) -> Denied {
    Reply::error_with(401, message).header("WWW-Authenticate", challenge).into()
}

/// Whether the plugin lets a CORS preflight through untouched: browsers send no credentials with it.
#[must_use]
pub fn skips_preflight(x: &Exchange, run_on_preflight: bool) -> bool {
    !run_on_preflight && x.request.method == Method::Options
}

/// Whether two texts are equal, in a time that depends on their lengths alone.
#[must_use]
pub fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// Decodes the configuration of a plugin.
///
/// # Errors
/// Where the document does not fit, which means it was not validated.
pub fn decode<T: Schema>(plugin: &str, config: &Value) -> Result<T, BuildError> {
    T::from_value(config).map_err(|e| BuildError { plugin: plugin.into(), cause: e.to_string() })
}

/// A step that ends at once.
#[must_use]
pub fn now(flow: Flow) -> Step<'static> {
    Step::Now(flow)
}
