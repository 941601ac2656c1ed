//! What headers say is checked before the body is read; the signature covers id, time and body.

use std::os::unix::fs::FileExt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_pdk::{Exchange, Fault, Flow, Handler, Host, Reply, RequestBody, SpooledBody, Step};

use super::config::Config;

pub struct Webhooks {
    key: hmac::Key,
    tolerance: i64,
}

/// What the headers of a webhook claim.
struct Claim {
    /// `id.timestamp.`, to which the signature adds the body.
    prefix: Vec<u8>,
    tag: Vec<u8>,
}

impl Webhooks {
    pub fn new(config: &Config) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, config.secret_v1.as_bytes());
        Webhooks { key, tolerance: config.tolerance_second }
    }

    /// `None` if a part is missing, the time is no number or too long ago, or the signature is none of ours.
    fn claim(&self, x: &Exchange, now: i64) -> Option<Claim> {
        let id = x.request.headers.get("webhook-id")?;
        let time = x.request.headers.get_str("webhook-timestamp")?.trim();
        let signature = x.request.headers.get("webhook-signature")?;
        let sent: i64 = time.parse().ok()?;
        if now.saturating_sub(sent) > self.tolerance {
            return None;
        }
        let tag = STANDARD.decode(signature.strip_prefix(b"v1,")?).ok()?;
        let prefix = [id, b".", time.as_bytes(), b"."].concat();
        Some(Claim { prefix, tag })
    }

    fn verify(&self, claim: &Claim, body: &[u8]) -> Flow {
        if body.is_empty() {
            return refusal();
        }
        let mut text = claim.prefix.clone();
        text.extend_from_slice(body);
        // Compares in constant time.
        if hmac::verify(&self.key, &text, &claim.tag).is_ok() { Flow::Next } else { refusal() }
    }

    /// A body in a file is signed off the worker: reading and hashing it takes too long there.
    async fn verify_file(&self, claim: Claim, body: SpooledBody, host: &Host) -> Flow {
        let key = self.key.clone();
        let work = move || {
            let tag = sign_file(&key, &claim.prefix, &body);
            let same =
                tag.map(|tag| aws_lc_rs::constant_time::verify_slices_are_equal(tag.as_ref(), &claim.tag).is_ok());
            Box::new(same) as Box<dyn std::any::Any + Send>
        };
        let done =
            host.compute.run(Box::new(work)).await.and_then(|same| same.downcast::<std::io::Result<bool>>().ok());
        match done.as_deref() {
            Some(Ok(true)) => Flow::Next,
            Some(Ok(false)) => refusal(),
            Some(Err(error)) => Fault::plugin(format!("the buffered body cannot be read: {error}")).into(),
            None => Fault::plugin("no thread is free to check a signature").into(),
        }
    }
}

fn refusal() -> Flow {
    Reply::error(400).into()
}

fn sign_file(key: &hmac::Key, prefix: &[u8], body: &SpooledBody) -> std::io::Result<hmac::Tag> {
    let mut context = hmac::Context::with_key(key);
    context.update(prefix);
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    while at < body.len {
        let read = body.file.read_at(&mut buffer, at)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        context.update(buffer.get(..read).unwrap_or_default());
        at += read as u64;
    }
    Ok(context.sign())
}

impl Handler for Webhooks {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        let Some(claim) = self.claim(x, host.clock.wall()) else { return refusal().into() };
        match &x.body {
            RequestBody::Unread => Step::Now(Flow::ReadBody),
            RequestBody::Empty => refusal().into(),
            RequestBody::Whole(body) => self.verify(&claim, body).into(),
            RequestBody::Spooled(body) => {
                let body = body.clone();
                Step::Later(Box::pin(self.verify_file(claim, body, host)))
            }
        }
    }
}
