//! Where a client's request comes in: it is read, noted for limits and logs, and handed to tries over the targets that
//! a plugin chooses from. The list of models is answered here.

use std::sync::Arc;

use gibbon_pdk::{Build, BuildError, Exchange, Flow};

use crate::attempts::{Calls, Choose};
use crate::call::Call;
use crate::config::{Clients, LlmFormat};
use crate::incoming::{Incoming, Refusal, limit_body, whole_body};
use crate::models;
use crate::passed_on;
use crate::target::Target;

/// The way in of a configuration.
pub struct Entrance {
    plugin_id: String,
    clients: Clients,
    /// Clients may name no other model than the configured one, as in Kong.
    strict_model: bool,
    /// Requests are passed on as they are.
    as_it_is: bool,
}

impl Entrance {
    /// # Errors
    /// Clients of this format cannot be served on a route of this type.
    pub fn new(
        plugin: &str,
        clients: &Clients,
        first: &Target,
        strict_model: bool,
        build: &Build<'_>,
    ) -> Result<Self, BuildError> {
        let as_it_is = first.operation.is_some_and(gibbon_llm::provider::Operation::is_passed_on);
        if as_it_is && clients.llm_format != LlmFormat::Openai {
            let cause = format!("route_type '{}' is served in llm_format 'openai' only, so far", first.route_type);
            return Err(BuildError { plugin: plugin.to_owned(), cause });
        }
        Ok(Entrance { plugin_id: build.plugin_id.to_string(), clients: clients.clone(), strict_model, as_it_is })
    }

    /// What is done before the body is read: it is asked for, unless the request needs none. Nothing if it is there.
    pub fn before_body<'a>(&self, x: &mut Exchange, targets: impl Iterator<Item = &'a Arc<Target>>) -> Option<Flow> {
        if models::are_asked_for(x) {
            return Some(models::list(x, self.clients.llm_format, targets).into());
        }
        if self.as_it_is && passed_on::streams(x, self.clients.max_request_body_size) {
            return None;
        }
        x.body.is_unread().then(|| {
            limit_body(x, self.clients.max_request_body_size);
            Flow::ReadBody
        })
    }

    /// Takes a request whose body is there. `first` is the target that stands for all until one is chosen.
    pub fn take(
        &self,
        x: &mut Exchange,
        first: &Target,
        choice: impl FnOnce(&Exchange, &Incoming) -> Result<Box<dyn Choose>, Refusal>,
    ) -> Flow {
        let clients = &self.clients;
        let body = match whole_body(x, clients.max_request_body_size) {
            Ok(body) => body,
            Err(fault) => return fault.into(),
        };
        let mut call = Call {
            plugin_id: self.plugin_id.clone(),
            provider: first.provider(),
            logging: first.logging,
            model: first.model.as_ref().and_then(|model| model.fill(x).ok()).unwrap_or_default(),
            ..Call::default()
        };
        if call.logging.log_payloads {
            call.request_payload = Some(String::from_utf8_lossy(&body).into_owned());
        }
        let format = clients.llm_format;
        let read = match first.operation {
            Some(operation) => Incoming::read(x, body, format, operation, clients.response_streaming),
            None => Ok(Incoming::as_it_is(body, format)),
        };
        let chosen = read.and_then(|incoming| choice(x, &incoming).map(|choice| (incoming, choice)));
        let (incoming, choice) = match chosen {
            Ok(chosen) => chosen,
            Err(refusal) => {
                x.slots.set(call);
                return refusal.reply(format).into();
            }
        };
        call.stream = incoming.stream;
        call.prompt = Some(incoming.clone());
        x.slots.set(call);
        x.attempts = Some(Box::new(Calls::new(incoming, choice, clients.model_name_header, self.strict_model)));
        Flow::Next
    }
}
