//! Variables of the environment: `{vault://env/db-password}` is `DB_PASSWORD`.

use std::future::ready;
use std::sync::Arc;

use gibbon_conf::vault::Reference;
use gibbon_pdk::SendFuture;

use super::{ReadError, Strategy, Surroundings, Variable};
use crate::config::Config;

pub struct Environment {
    prefix: Option<Box<str>>,
    variable: Arc<Variable>,
}

impl Environment {
    pub fn new(config: &Config, surroundings: &Surroundings) -> Self {
        Environment { prefix: config.text("prefix").map(Box::from), variable: Arc::clone(&surroundings.variable) }
    }

    fn look_up(&self, reference: &Reference) -> Result<String, ReadError> {
        let value = (self.variable)(&reference.variable(self.prefix.as_deref()));
        value.filter(|value| !value.is_empty()).ok_or(ReadError::NotFound)
    }
}

impl Strategy for Environment {
    fn read_now(&self, reference: &Reference) -> Option<Result<String, ReadError>> {
        Some(self.look_up(reference))
    }

    fn read<'a>(&'a self, reference: &'a Reference) -> SendFuture<'a, Result<String, ReadError>> {
        Box::pin(ready(self.look_up(reference)))
    }
}
