//! The location is taken apart once per configuration.

use bytes::Bytes;
use gibbon_message::uri;
use gibbon_pdk::{Exchange, Handler, Host, Reply, ReplyBody, Step};

use super::config::Config;

pub struct Redirector {
    status: u16,
    location: Location,
}

enum Location {
    Whole(String),
    /// Scheme and authority, to which path and query of the request are joined; then the fragment.
    Base(String, String),
}

impl Redirector {
    pub fn new(config: &Config) -> Self {
        let location = match config.keep_incoming_path {
            false => Location::Whole(config.location.clone()),
            true => base(&config.location),
        };
        Redirector { status: config.status_code, location }
    }

    fn target(&self, x: &Exchange) -> Vec<u8> {
        match &self.location {
            Location::Whole(location) => location.clone().into_bytes(),
            Location::Base(base, fragment) => {
                let mut target = base.clone().into_bytes();
                uri::escape_into(&mut target, &uri::normalize(x.request.path()));
                if let Some(query) = x.request.query().filter(|query| !query.is_empty()) {
                    target.push(b'?');
                    target.extend_from_slice(query);
                }
                target.extend_from_slice(fragment.as_bytes());
                target
            }
        }
    }
}

impl Handler for Redirector {
    fn access<'a>(&'a self, x: &'a mut Exchange, _: &'a Host) -> Step<'a> {
        let mut reply = Reply::new(self.status).header("Location", self.target(x));
        reply.body = ReplyBody::Bytes(Bytes::from_static(b"redirecting"));
        Step::reply(reply)
    }
}

/// What stays of a location when path and query are replaced, in the form browsers give it: scheme and host in
/// lower case, no port that the scheme implies.
fn base(location: &str) -> Location {
    let (scheme, rest) = location.split_once("://").unwrap_or(("http", location));
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (format!("{user}@"), host),
        None => (String::new(), authority),
    };
    let scheme = scheme.to_ascii_lowercase();
    let mut host = host.to_ascii_lowercase();
    let implied = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => ":",
    };
    if let Some(bare) = host.strip_suffix(implied) {
        host = bare.to_owned();
    }
    let fragment = tail.find('#').and_then(|at| tail.get(at..)).unwrap_or_default();
    Location::Base(format!("{scheme}://{user}{host}"), fragment.to_owned())
}
