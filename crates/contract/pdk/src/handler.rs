//! What a plugin does: one method per phase, all optional.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{Exchange, Fault, Host, Phases, Reply};

/// A future of one worker; workers are single-threaded, so it need not be `Send`.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;
/// A future that may run on the control runtime.
pub type SendFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a step ends.
#[derive(Debug)]
pub enum Flow {
    /// Go on with the next plugin.
    Next,
    /// Answer the client now. Later handlers of this phase do not run, but are still collected, so
    /// that their response and log phases see the answer.
    Reply(Box<Reply>),
    /// The step could not be done; the fault says whose blame it is, and the engine answers.
    Fail(Box<Fault>),
    /// Buffer the whole request body into [`Exchange::body`], then call the same method again.
    ReadBody,
}

/// The result of a phase that may wait.
pub enum Step<'a> {
    Now(Flow),
    Later(LocalFuture<'a, Flow>),
}

impl Step<'_> {
    /// Nothing more to do here.
    pub const NEXT: Step<'static> = Step::Now(Flow::Next);

    #[must_use]
    pub fn reply(reply: Reply) -> Self {
        Step::Now(Flow::Reply(Box::new(reply)))
    }

    /// The step failed.
    #[must_use]
    pub fn fail(fault: Fault) -> Self {
        Step::Now(Flow::Fail(Box::new(fault)))
    }
}

impl From<Reply> for Flow {
    fn from(reply: Reply) -> Self {
        Flow::Reply(Box::new(reply))
    }
}

impl From<Fault> for Flow {
    fn from(fault: Fault) -> Self {
        Flow::Fail(Box::new(fault))
    }
}

impl From<Flow> for Step<'_> {
    fn from(flow: Flow) -> Self {
        Step::Now(flow)
    }
}

/// A piece of the response body on its way to the client.
///
/// A handler may change or empty `data`; `last` is true once, on the final call, whose data may be
/// empty. Once a handler declares `body_filter`, the engine leaves Content-Length to the header
/// filters: a handler that changes the length must remove the header there.
#[derive(Debug, Default)]
pub struct BodyChunk {
    pub data: Vec<u8>,
    pub last: bool,
}

/// A certificate chain, leaf first, and its private key, both in PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertificatePem {
    pub cert: String,
    pub key: String,
}

impl std::fmt::Debug for CertificatePem {
    /// The key stays out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificatePem").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// The code of a plugin together with one configuration of it. Built once per plan, shared by all
/// workers: state that changes lives in [`Exchange::slots`], in the node state or behind a port.
pub trait Handler: Send + Sync + 'static {
    /// Whether it traces: only then is [`Exchange::trace`] recorded. It calls [`Trace::decline`](crate::Trace::decline)
    /// as soon as it knows that it does not want an exchange.
    fn traces(&self) -> bool {
        false
    }

    /// Phases of its plugin in which this configuration has nothing to do: an answer that no body filter waits for streams
    /// through untouched.
    fn idle_phases(&self) -> Phases {
        Phases::NONE
    }

    /// During the TLS handshake; only global configurations run.
    fn certificate<'a>(&'a self, _x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
        Step::NEXT
    }

    /// During the TLS handshake, for a server name that no certificate of the configuration covers: what to
    /// show in place of the node's default. Only global configurations with the certificate phase are asked.
    /// It cannot wait: fetch what is missing in the background, for the next handshake.
    fn certificate_for(&self, _server_name: &str) -> Option<Arc<CertificatePem>> {
        None
    }

    /// Before routing; only global configurations run.
    fn rewrite<'a>(&'a self, _x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
        Step::NEXT
    }

    /// After routing, before a target is chosen.
    fn access<'a>(&'a self, _x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
        Step::NEXT
    }

    /// Stream routes: after routing, before the connection is forwarded.
    fn preread<'a>(&'a self, _x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
        Step::NEXT
    }

    /// With the whole upstream answer buffered in [`Exchange::response`] and
    /// [`Exchange::response_body`], before the header filters. Declaring it buffers.
    fn response<'a>(&'a self, _x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
        Step::NEXT
    }

    /// The response head is about to leave; by type it cannot wait.
    fn header_filter(&self, _x: &mut Exchange, _host: &Host) {}

    /// A piece of the body is about to leave; by type it cannot wait.
    fn body_filter(&self, _x: &mut Exchange, _chunk: &mut BodyChunk, _host: &Host) {}

    /// The exchange is over; the client has its answer. Hand entries to a queue, never block.
    fn log(&self, _x: &mut Exchange, _host: &Host) {}
}
