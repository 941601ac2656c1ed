//! What a handshake and a challenge get. Both find at hand what they need, or go on without.

use std::sync::Arc;

use bytes::Bytes;
use gibbon_pdk::{CertificatePem, Exchange, Fault, Flow, Handler, Host, Reply, ReplyBody, Step};

use super::challenge;
use super::keeper::Keeper;
use super::storage::Storage;

pub struct Acme(pub Arc<Keeper>);

impl Acme {
    async fn answer(&self, place: &str) -> Flow {
        match self.0.storage.get(place).await {
            Ok(answer) => challenge_answer(answer),
            Err(error) => Fault::plugin(format!("a challenge cannot be looked up: {error}")).into(),
        }
    }
}

impl Handler for Acme {
    fn certificate_for(&self, server_name: &str) -> Option<Arc<CertificatePem>> {
        self.0.certificate_for(&server_name.to_ascii_lowercase())
    }

    fn rewrite<'a>(&'a self, x: &'a mut Exchange, _: &'a Host) -> Step<'a> {
        let Some(token) = challenge::token(x.request.path()) else { return Step::NEXT };
        if x.forwarded_scheme() != "http" {
            return Step::NEXT;
        }
        // What people ask to see whether challenges come through; no authority has such a token.
        if token == "x" {
            return challenge_answer(None).into();
        }
        if !self.0.domains.allows(&x.host()) {
            return Step::NEXT;
        }
        if !challenge::is_sound(token) {
            return challenge_answer(None).into();
        }
        let place = challenge::place(token);
        match &self.0.storage {
            Storage::Node(node) => challenge_answer(node.get(&place)).into(),
            _ => Step::Later(Box::pin(async move { self.answer(&place).await })),
        }
    }
}

fn challenge_answer(answer: Option<String>) -> Flow {
    let (status, text) = match answer {
        Some(answer) => (200, answer),
        None => (404, "Not found".to_owned()),
    };
    let mut reply = Reply::new(status);
    reply.headers.append("Content-Type", "text/plain; charset=utf-8");
    reply.body = ReplyBody::Bytes(Bytes::from(text + "\n"));
    reply.into()
}
