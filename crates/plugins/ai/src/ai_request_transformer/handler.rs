//! The body goes to the model, its answer upstream.

use gibbon_pdk::{Build, BuildError, Exchange, Flow, Handler, Host, RequestBody, Step};

use crate::ask::Adviser;
use crate::config::{Advice, LlmFormat};
use crate::incoming::{Refusal, limit_body, whole_body};

/// The plugin with one configuration.
pub struct RequestTransformer {
    adviser: Adviser,
    limit: u64,
}

impl RequestTransformer {
    /// # Errors
    /// What of the configuration cannot be made to work.
    pub fn new(config: &Advice, build: &Build<'_>) -> Result<Self, BuildError> {
        let adviser = Adviser::new(super::PART.name, config, build)?;
        Ok(RequestTransformer { adviser, limit: config.max_request_body_size })
    }

    async fn transform(&self, x: &mut Exchange, host: &Host) -> Flow {
        let body = match whole_body(x, self.limit) {
            Ok(body) => body,
            Err(fault) => return fault.into(),
        };
        let text = String::from_utf8_lossy(&body).into_owned();
        match self.adviser.ask(x, host, &text).await {
            Ok(answer) => {
                x.body = RequestBody::Whole(answer.into());
                Flow::Next
            }
            Err(why) => Refusal::new(400, why).reply(LlmFormat::Openai).into(),
        }
    }
}

impl Handler for RequestTransformer {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if x.body.is_unread() {
            limit_body(x, self.limit);
            return Flow::ReadBody.into();
        }
        Step::Later(Box::pin(self.transform(x, host)))
    }
}
