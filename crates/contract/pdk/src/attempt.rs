//! What a plugin may put in place of the service's own tries, and into the way of an answer's body.
//!
//! An [`AttemptSource`] chooses where each try goes and what is sent there, and judges what comes back. A
//! [`BodyTransformer`] rewrites a body as it passes. The engine keeps what is its own: connections, deadlines, the
//! log's list of tries, and that nothing is tried again once the client has seen a byte.

use std::fmt;

use crate::{Exchange, Fault, Host, LocalFuture, Reply, Step};

/// Supplies the tries of an exchange: a handler's `access` puts it into [`Exchange::attempts`], and the engine asks it
/// in place of the service's balancing.
pub trait AttemptSource: fmt::Debug {
    /// Sets up the next try: `destination` (with a `target`), headers and body. Each call begins from what the one
    /// before left behind. `Flow::Next` sends it; a reply or fault ends the exchange.
    fn prepare<'a>(&'a mut self, x: &'a mut Exchange, host: &'a Host) -> Step<'a>;

    /// The head of an answer is in `x.response`, nothing of it has left. Here [`Exchange::transformers`] get what the
    /// body of this answer needs. An error refuses the answer: then [`failed`](Self::failed) is asked.
    ///
    /// # Errors
    /// Why this answer is not taken.
    fn answered(&mut self, x: &mut Exchange, host: &Host) -> Result<(), Fault>;

    /// A try came to nothing, and the client has not seen a byte.
    fn failed(&mut self, x: &mut Exchange, fault: &Fault, host: &Host) -> Resort;
}

/// What follows a failed try.
#[derive(Debug)]
pub enum Resort {
    /// Another.
    Again,
    /// This answer.
    Reply(Box<Reply>),
    /// The answer that the fault stands for.
    Fault,
}

/// A part of an upstream's body, as a transformer gets it.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// The head is there; no byte of the body is.
    Head,
    Data(&'a [u8]),
    /// The body is whole.
    End,
    /// The body broke off: this is why.
    Broken(&'a Fault),
}

/// What becomes of what a transformer wrote.
#[derive(Debug)]
pub enum Turn {
    /// It may leave, and the head with it.
    Go,
    /// Nothing may leave yet: an answer of which nothing has left may still be refused, and its head changed. Once
    /// something has left, the same as `Go`.
    Hold,
    /// What was written is the last of this answer; whatever else comes is not wanted.
    Over,
    /// The answer is no good: another try, or an error in its place. Once something has left, the answer is cut off.
    Refuse(Box<Fault>),
}

/// Rewrites a body on its way to the client, piece by piece. The engine reads the next piece only when the client has
/// taken what the last one became, so a transformer is bounded by what it holds back itself.
///
/// `End` or `Broken` come once, last. A transformer that changes the length of a body removes Content-Length in the
/// turn that first lets something go; an answer held back to its end gets its length from the engine.
pub trait BodyTransformer: fmt::Debug {
    fn push<'a>(
        &'a mut self,
        x: &'a mut Exchange,
        piece: Piece<'a>,
        out: &'a mut Vec<u8>,
        host: &'a Host,
    ) -> Turning<'a>;
}

/// A turn that is there, or is waited for: long work is another thread's.
pub enum Turning<'a> {
    Now(Turn),
    Later(LocalFuture<'a, Turn>),
}

impl From<Turn> for Turning<'_> {
    fn from(turn: Turn) -> Self {
        Turning::Now(turn)
    }
}
