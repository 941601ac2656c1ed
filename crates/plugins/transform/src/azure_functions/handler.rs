//! The request goes to the function as it came, but for its host and what belonged to the client's connection.

use std::time::Duration;

use bytes::Bytes;
use gibbon_message::uri;
use gibbon_pdk::{
    BodyLimit, Exchange, Fault, Flow, Handler, Host, OutcallRequest, OutcallResponse, OutcallTls, Reply, ReplyBody,
    Step,
};

use super::config::Config;
use crate::{body, hop};

/// A body is in memory whole, so a client must not choose its size.
const LONGEST_BODY: usize = 16 << 20;

/// One configuration.
pub struct Function {
    /// Scheme, host, and the path up to where the request's begins.
    base: String,
    apikey: Option<String>,
    clientid: Option<String>,
    verify: bool,
    timeout: Duration,
    keepalive: Duration,
}

impl Function {
    pub fn new(config: Config) -> Self {
        let scheme = if config.https { "https" } else { "http" };
        let prefix = config.routeprefix.as_deref().unwrap_or_default().trim_matches('/');
        let function = config.functionname.trim_matches('/');
        let mut base = format!("{scheme}://{}.{}", config.appname, config.hostdomain);
        for part in [prefix, function].into_iter().filter(|part| !part.is_empty()) {
            base.push('/');
            base.push_str(part);
        }
        Function {
            base,
            apikey: config.apikey,
            clientid: config.clientid,
            verify: config.https_verify,
            timeout: milliseconds(config.timeout),
            keepalive: milliseconds(config.keepalive),
        }
    }

    fn request(&self, x: &Exchange, body: Bytes) -> OutcallRequest {
        let mut url = self.base.clone().into_bytes();
        if !x.destination.path.starts_with(b"/") {
            url.push(b'/');
        }
        uri::escape_into(&mut url, &x.destination.path);
        if let Some(query) = x.query().filter(|query| !query.is_empty()) {
            url.push(b'?');
            uri::escape_into(&mut url, query);
        }
        let url = String::from_utf8_lossy(&url).replace('#', "%23");
        let mut request = OutcallRequest {
            headers: x.request.headers.clone(),
            body,
            timeout: self.timeout,
            keepalive: self.keepalive,
            tls: OutcallTls { verify: self.verify, server_name: None, identity: None },
            ..OutcallRequest::new(x.request.method.clone(), url)
        };
        hop::strip(&mut request.headers);
        request.headers.remove("host");
        // A client must not choose the key.
        for (name, value) in [("x-functions-key", &self.apikey), ("x-functions-clientid", &self.clientid)] {
            match value {
                Some(value) => request.headers.set(name, value),
                None => {
                    request.headers.remove(name);
                }
            }
        }
        request
    }

    async fn call(&self, x: &mut Exchange, host: &Host) -> Flow {
        let body = match body::whole(&x.body, host, LONGEST_BODY).await {
            Ok(body) => body,
            Err(why) => return Fault::plugin(why).into(),
        };
        match host.http.call(self.request(x, body)).await {
            Ok(answer) => reply(answer).into(),
            Err(error) => {
                tracing::error!(request_id = %x.id, "azure-functions: {error}");
                Reply::message(500, "An unexpected error occurred").into()
            }
        }
    }
}

fn reply(answer: OutcallResponse) -> Reply {
    let mut headers = answer.headers;
    hop::strip(&mut headers);
    Reply { status: answer.status, headers, body: ReplyBody::Bytes(answer.body), via: true, ..Reply::default() }
}

fn milliseconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number / 1000.0).unwrap_or_default()
}

impl Handler for Function {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if x.body.is_unread() {
            let bytes = LONGEST_BODY as u64;
            x.body_limit = Some(BodyLimit { bytes, status: 413, message: "Payload too large" });
            return Step::Now(Flow::ReadBody);
        }
        Step::Later(Box::pin(self.call(x, host)))
    }
}
