//! The whole answer of the upstream goes to the model, its answer to the client.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use gibbon_pdk::{Build, BuildError, Exchange, Flow, Handler, Host, Step};

use super::config::Config;
use super::instructions::Instructions;
use crate::ask::Adviser;
use crate::config::{Advice, LlmFormat};
use crate::incoming::Refusal;

/// The longest answer that is given to a model.
const MOST: u64 = 16 << 20;

/// The plugin with one configuration.
pub struct ResponseTransformer {
    adviser: Adviser,
    instructed: bool,
}

impl ResponseTransformer {
    /// # Errors
    /// What of the configuration cannot be made to work.
    pub fn new(config: &Config, advice: &Advice, build: &Build<'_>) -> Result<Self, BuildError> {
        let adviser = Adviser::new(super::PART.name, advice, build)?;
        Ok(ResponseTransformer { adviser, instructed: config.parse_llm_response_json_instructions })
    }

    async fn transform(&self, x: &mut Exchange, host: &Host) -> Flow {
        let refuse = |status, why: String| Refusal::new(status, why).reply(LlmFormat::Openai).into();
        let text = match plain(x) {
            Ok(text) => text,
            Err(why) => return refuse(502, why),
        };
        let answer = match self.adviser.ask(x, host, &text).await {
            Ok(answer) => answer,
            Err(why) => return refuse(400, why),
        };
        let body = if self.instructed {
            match Instructions::parse(&answer) {
                Ok(wanted) => {
                    x.response.status = wanted.status;
                    for (name, value) in &wanted.headers {
                        x.response.headers.set(name, value);
                    }
                    wanted.body
                }
                Err(why) => {
                    return refuse(500, format!("failed to parse JSON response instructions from AI backend: {why}"));
                }
            }
        } else {
            answer
        };
        x.response.headers.remove("content-encoding");
        x.response.headers.set("Content-Length", body.len().to_string());
        x.response_body = Some(Bytes::from(body));
        Flow::Next
    }
}

/// The text of the buffered answer, unpacked.
fn plain(x: &Exchange) -> Result<String, String> {
    let body = x.response_body.clone().unwrap_or_default();
    let gzip = x.response.headers.get_str("content-encoding").is_some_and(|e| e.eq_ignore_ascii_case("gzip"));
    if !gzip {
        return Ok(String::from_utf8_lossy(&body).into_owned());
    }
    let mut text = Vec::new();
    let unpacked = GzDecoder::new(&body[..]).take(MOST).read_to_end(&mut text);
    unpacked.map_err(|_| "the upstream's answer is not packed as it says".to_owned())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

impl Handler for ResponseTransformer {
    fn response<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        Step::Later(Box::pin(self.transform(x, host)))
    }
}
