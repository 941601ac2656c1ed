//! What must agree once a target is chosen, before it is asked: limits by provider, model or price can only then be
//! looked at.

use std::sync::Arc;

use gibbon_pdk::{Exchange, Host, LocalFuture, Reply};

/// Somebody who may refuse the target that the exchange's call names.
pub trait Admit {
    /// What the client gets instead, if this target may not be asked.
    fn admit<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> LocalFuture<'a, Option<Reply>>;
}

/// Lies in the exchange's slots.
pub struct Gate(pub Arc<dyn Admit>);

/// Asks whoever stands at the gate.
pub async fn pass(x: &mut Exchange, host: &Host) -> Option<Reply> {
    let at_gate = x.slots.get::<Gate>().map(|gate| Arc::clone(&gate.0))?;
    at_gate.admit(x, host).await
}
