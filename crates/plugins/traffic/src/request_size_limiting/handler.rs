//! An announced size is judged by its number; an unknown one by reading, and no further than the limit.

use gibbon_pdk::{BodyLimit, Exchange, Flow, Handler, Host, Reply, RequestBody, Step};

use super::config::Config;

const TOO_LARGE: &str = "Request size limit exceeded";

pub struct SizeLimit {
    /// Bytes; nothing fits below zero.
    limit: i64,
    require_length: bool,
}

impl SizeLimit {
    pub fn new(config: &Config) -> Self {
        let limit = config.allowed_payload_size.saturating_mul(config.size_unit.bytes());
        SizeLimit { limit, require_length: config.require_content_length }
    }

    fn judge(&self, length: u64, x: &Exchange) -> Step<'static> {
        if i64::try_from(length).is_ok_and(|length| length <= self.limit) {
            return Step::NEXT;
        }
        Step::reply(Reply::error_with(refusal(x), TOO_LARGE))
    }
}

/// A client that asked before sending is told that its expectation is not met.
fn refusal(x: &Exchange) -> u16 {
    let expect = x.request.headers.get_str("expect").map(str::trim);
    if expect.is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) { 417 } else { 413 }
}

impl Handler for SizeLimit {
    fn access<'a>(&'a self, x: &'a mut Exchange, _: &'a Host) -> Step<'a> {
        let announced = x.request.headers.get_str("content-length").and_then(|value| value.trim().parse::<u64>().ok());
        if let Some(length) = announced {
            return self.judge(length, x);
        }
        let chunked = x.request.headers.get("transfer-encoding") == Some(b"chunked");
        if self.require_length && !chunked {
            return Step::reply(Reply::error_with(411, "A valid Content-Length header is required"));
        }
        match &x.body {
            RequestBody::Unread => {
                // Without a bound a chunked body could fill the disk before it is refused.
                let bytes = u64::try_from(self.limit).unwrap_or(0);
                x.body_limit = Some(BodyLimit { bytes, status: refusal(x), message: TOO_LARGE });
                Step::Now(Flow::ReadBody)
            }
            RequestBody::Empty => self.judge(0, x),
            RequestBody::Whole(bytes) => self.judge(bytes.len() as u64, x),
            RequestBody::Spooled(file) => self.judge(file.len, x),
        }
    }
}
