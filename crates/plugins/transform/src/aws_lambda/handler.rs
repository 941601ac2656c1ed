//! The call: an event is made of the request, signed, sent, and its answer given to the client.

use std::time::Duration;

use bytes::Bytes;
use gibbon_cloud::aws::{Keys, Source, Surroundings};
use gibbon_cloud::sigv4::{AwsKeys, Signable, sign};
use gibbon_cloud::{Address, encode};
use gibbon_message::Method;
use gibbon_pdk::{
    BodyLimit, Clouds, Exchange, Fault, Flow, Handler, Host, OutcallRequest, OutcallTls, RequestBody, Step,
};

use super::config::Config;
use super::{answer, event};
use crate::body;

/// Lambda takes no larger event, so a larger body need not be read to be refused.
const LONGEST_BODY: usize = 6 << 20;

/// One configuration.
pub struct Lambda {
    config: Config,
    region: Option<String>,
    keys: Keys,
}

impl Lambda {
    pub fn new(config: Config, surroundings: Surroundings) -> Self {
        let region = config.aws_region.clone().or_else(|| surroundings.region.clone());
        let given = config.aws_key.clone().zip(config.aws_secret.clone());
        let source = Source {
            keys: given.map(|(access, secret)| AwsKeys { access, secret, session: None }),
            role: config.aws_assume_role_arn.clone(),
            session: config.aws_role_session_name.clone().unwrap_or_else(|| "kong".to_owned()),
            sts: config.aws_sts_endpoint_url.clone(),
            region: region.clone().unwrap_or_default(),
            with_session: config.aws_imds_protocol_version == "v2",
        };
        Lambda { region, keys: Keys::new(source, surroundings), config }
    }

    async fn call(&self, x: &mut Exchange, host: &Host) -> Result<Flow, String> {
        let region = self.region.as_deref().ok_or("no region specified")?;
        let body = self.body(x, host).await?;
        let event = event::describe(&self.config, x, body.as_deref()).to_string();
        let keys = self.keys.get(&Clouds(&*host.http), host.clock.wall().max(0) as u64).await;
        let keys = keys.map_err(|error| format!("no credentials: {error}"))?;
        let request = self.request(region, &keys, event, host)?;
        let sent = host.clock.monotonic_ns();
        let answer = host.http.call(request).await.map_err(|error| error.to_string())?;
        // The function counts as the upstream.
        x.latencies.balancer_end = sent;
        x.latencies.sent = sent;
        x.latencies.first_byte = host.clock.monotonic_ns();
        answer::reply(&self.config, answer).map(Flow::from)
    }

    /// The body, unless there is none or it is left out for its size.
    async fn body(&self, x: &Exchange, host: &Host) -> Result<Option<Bytes>, String> {
        match &x.body {
            RequestBody::Empty | RequestBody::Unread => Ok(None),
            RequestBody::Spooled(_) if self.config.skip_large_bodies => {
                tracing::error!(request_id = %x.id, "aws-lambda: request body was buffered to disk, too large");
                Ok(None)
            }
            body => body::whole(body, host, LONGEST_BODY).await.map(Some),
        }
    }

    fn request(&self, region: &str, keys: &AwsKeys, event: String, host: &Host) -> Result<OutcallRequest, String> {
        let config = &self.config;
        let address = self.address(region)?;
        let length = event.len().to_string();
        let headers = [
            ("content-length", length.as_str()),
            ("x-amz-invocation-type", &config.invocation_type),
            ("x-amz-log-type", &config.log_type),
        ];
        let signable = Signable { method: "POST", address: &address, headers: &headers, body: event.as_bytes() };
        let signed = sign(&signable, keys, region, "lambda", host.clock.wall().max(0) as u64);
        let scheme = if address.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}{}", address.authority(), address.target());
        let mut request = OutcallRequest {
            body: event.into(),
            timeout: milliseconds(config.timeout),
            keepalive: milliseconds(config.keepalive),
            tls: OutcallTls { verify: config.ssl_verify.unwrap_or(false), server_name: None, identity: None },
            proxy: config.proxy_url.clone(),
            ..OutcallRequest::new(Method::Post, url)
        };
        request.headers.append("Host", address.authority());
        request.headers.append("User-Agent", &host.node.server_token);
        request.headers.append("Content-Length", &length);
        request.headers.append("X-Amz-Invocation-Type", &config.invocation_type);
        request.headers.append("X-Amz-Log-Type", &config.log_type);
        for (name, value) in signed {
            request.headers.append(name, value);
        }
        Ok(request)
    }

    fn address(&self, region: &str) -> Result<Address, String> {
        let config = &self.config;
        let name = config.function_name.as_deref().ok_or("no function specified")?;
        let mut path = "/2015-03-31/functions/".to_owned();
        encode(name, &mut path);
        path.push_str("/invocations");
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let host = config.host.clone().unwrap_or_else(|| format!("lambda.{region}.{domain}"));
        let query = config.qualifier.iter().map(|q| ("Qualifier".to_owned(), q.clone())).collect();
        Ok(Address { tls: !config.disable_https, host, port: config.port, path, query })
    }
}

fn milliseconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number / 1000.0).unwrap_or_default()
}

impl Handler for Lambda {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if x.body.is_unread() && event::needs_body(&self.config) {
            if !self.config.skip_large_bodies {
                let bytes = LONGEST_BODY as u64;
                x.body_limit = Some(BodyLimit { bytes, status: 413, message: "Payload too large" });
            }
            return Step::Now(Flow::ReadBody);
        }
        Step::Later(Box::pin(async move {
            match self.call(x, host).await {
                Ok(flow) => flow,
                Err(why) => Fault::plugin(why).into(),
            }
        }))
    }
}
