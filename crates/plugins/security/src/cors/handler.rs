//! Headers are joined once per configuration; only what depends on the origin is decided per request.

use gibbon_message::{Headers, Method};
use gibbon_pdk::{BuildError, Exchange, Handler, Host, Reply, Step};

use super::config::Config;
use super::origins::{Entry, Origin, Origins};

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const ALLOW_CREDENTIALS: &str = "Access-Control-Allow-Credentials";

pub struct Cors {
    origins: Origins,
    headers: Option<String>,
    exposed: Option<String>,
    methods: String,
    max_age: Option<String>,
    credentials: bool,
    private_network: bool,
    preflight_continue: bool,
    allow_origin_absent: bool,
}

/// The exchange was a preflight: the header filter has nothing to add.
struct Preflight;

impl Cors {
    /// # Errors
    /// An origin that cannot be compiled.
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let joined =
            |list: &Option<Vec<String>>| list.as_ref().filter(|list| !list.is_empty()).map(|list| list.join(","));
        Ok(Cors {
            origins: Origins::new(config.origins.as_deref().unwrap_or_default())?,
            headers: joined(&config.headers),
            exposed: joined(&config.exposed_headers),
            methods: config.methods.join(","),
            max_age: config.max_age.map(|seconds| seconds.to_string()),
            credentials: config.credentials,
            private_network: config.private_network,
            preflight_continue: config.preflight_continue,
            allow_origin_absent: config.allow_origin_absent,
        })
    }

    /// Says which origin may read the answer. `vary` adds what caches must know, in the way the phase asks for.
    fn allow_origin(&self, request: &Headers, answer: &mut Headers, vary: impl Fn(&mut Headers)) {
        let everybody = self.allow_configured(request, answer, &vary);
        if !self.credentials {
            return;
        }
        if !everybody {
            answer.set(ALLOW_CREDENTIALS, "true");
            return;
        }
        // Browsers refuse `*` together with credentials, so the origin is named.
        if let Some(origin) = given(request, "origin") {
            vary(answer);
            answer.set(ALLOW_ORIGIN, origin);
            answer.set(ALLOW_CREDENTIALS, "true");
        }
    }

    /// Gives whether everybody is allowed.
    fn allow_configured(&self, request: &Headers, answer: &mut Headers, vary: impl Fn(&mut Headers)) -> bool {
        match &self.origins {
            Origins::All => {
                answer.set(ALLOW_ORIGIN, "*");
                true
            }
            Origins::One(origin) => {
                vary(answer);
                answer.set(ALLOW_ORIGIN, origin);
                false
            }
            Origins::Listed(entries) => {
                vary(answer);
                allow_listed(entries, request, answer)
            }
        }
    }

    fn preflight(&self, request: &Headers) -> Reply {
        let mut reply = Reply::new(200);
        let answer = &mut reply.headers;
        self.allow_origin(request, answer, |answer| answer.set("Vary", "Origin"));
        let asked = || given(request, "access-control-request-headers");
        if let Some(headers) = self.headers.as_ref().map(String::as_bytes).or_else(asked) {
            answer.set("Access-Control-Allow-Headers", headers);
        }
        answer.set("Access-Control-Allow-Methods", &self.methods);
        if let Some(seconds) = &self.max_age {
            answer.set("Access-Control-Max-Age", seconds);
        }
        if self.private_network && request.get("access-control-request-private-network") == Some(b"true") {
            answer.set("Access-Control-Allow-Private-Network", "true");
        }
        reply
    }
}

fn allow_listed(entries: &[Entry], request: &Headers, answer: &mut Headers) -> bool {
    if let Some(origin) = request.get_str("origin").map(Origin::parse) {
        for entry in entries {
            match entry {
                Entry::All => {
                    answer.set(ALLOW_ORIGIN, "*");
                    return true;
                }
                entry if entry.allows(&origin) => {
                    answer.set(ALLOW_ORIGIN, &origin.text);
                    return false;
                }
                _ => {}
            }
        }
    }
    answer.remove(ALLOW_ORIGIN);
    false
}

/// A header that is there and not empty.
fn given<'h>(headers: &'h Headers, name: &str) -> Option<&'h [u8]> {
    headers.get(name).filter(|value| !value.is_empty())
}

impl Handler for Cors {
    fn access<'a>(&'a self, x: &'a mut Exchange, _: &'a Host) -> Step<'a> {
        let request = &x.request.headers;
        let is_preflight = x.request.method == Method::Options
            && given(request, "origin").is_some()
            && given(request, "access-control-request-method").is_some();
        if !is_preflight {
            return Step::NEXT;
        }
        x.slots.set(Preflight);
        if self.preflight_continue {
            return Step::NEXT;
        }
        Step::reply(self.preflight(&x.request.headers))
    }

    fn header_filter(&self, x: &mut Exchange, _: &Host) {
        if x.slots.get::<Preflight>().is_some() {
            return;
        }
        if !self.allow_origin_absent && given(&x.request.headers, "origin").is_none() {
            return;
        }
        self.allow_origin(&x.request.headers, &mut x.response.headers, |answer| answer.append("Vary", "Origin"));
        if let Some(exposed) = &self.exposed {
            x.response.headers.set("Access-Control-Expose-Headers", exposed);
        }
    }
}
