//! Requests that are passed on as they are, because no two providers agree on them: files, batches, assistants, speech,
//! images, videos, and what is asked of stored responses. The gateway chooses the target, proves who calls, sees to it
//! that the configured model is asked, and counts what the answer says that it used. Uploads and binary answers of any
//! length go through piece by piece.

use bytes::Bytes;
use gibbon_llm::dialect::Dialect;
use gibbon_llm::pass::{self, Changes};
use gibbon_llm::passing::PassingTap;
use gibbon_llm::provider::Operation;
use gibbon_pdk::{BodyTransformer, Exchange, Host, Piece, Turn, Turning};

use crate::form;
use crate::incoming::{Incoming, Refusal};
use crate::relay::note;

/// Kong's words for a body that is not what its header says.
const MISMATCH: &str = "content-type header does not match request body, or bad JSON formatting";

/// What a client's path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The kind of thing, as the provider's path has it.
    pub kind: &'static str,
    /// What stands behind it: ids, and what is done with them.
    pub rest: String,
}

/// How the body is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Multipart {
        boundary: String,
    },
    /// None, or none that is looked at.
    Other,
}

/// What the path of a client names, if the operation is about things that have ids. The last place that fits counts:
/// what stands before is the gateway's own.
pub fn resource(operation: Operation, path: &[u8]) -> Option<Resource> {
    let path = String::from_utf8_lossy(path);
    let found = operation.resources().iter().filter_map(|kind| {
        let needle = format!("/{kind}");
        let ends = |at: usize| matches!(path.as_bytes().get(at), None | Some(b'/'));
        path.rmatch_indices(&needle).find(|(at, _)| ends(at + needle.len())).map(|(at, _)| (at, *kind))
    });
    // Of two kinds the first leads: a thread may have a run of an assistant.
    let (at, kind) = found.min()?;
    let rest = path.get(at + kind.len() + 1..).unwrap_or_default().trim_end_matches('/').to_owned();
    Some(Resource { kind, rest })
}

/// A request about something that the provider stored under an id.
pub fn is_about_stored(operation: Operation, path: &[u8]) -> bool {
    resource(operation, path).is_some_and(|resource| !resource.rest.is_empty())
}

/// How a request's body is written, as far as its header says.
fn form_of(x: &Exchange) -> Form {
    let header = x.request.headers.get_str("content-type").unwrap_or_default();
    match x.media_type().as_deref() {
        None => Form::Json,
        Some(json) if json == "application/json" || json.ends_with("+json") => Form::Json,
        Some(_) => match form::boundary(header) {
            Some(boundary) => Form::Multipart { boundary: boundary.to_owned() },
            None => Form::Other,
        },
    }
}

/// Whether a body goes through unread: an upload that is longer than may be looked at, as in Kong, or of unknown length.
pub fn streams(x: &Exchange, limit: u64) -> bool {
    let length = x.request.headers.get_str("content-length").and_then(|length| length.trim().parse::<u64>().ok());
    let long = length.is_none_or(|length| limit > 0 && length > limit);
    x.body.is_unread() && long && !matches!(form_of(x), Form::Json)
}

/// Reads what the gateway has to know of such a request.
///
/// # Errors
/// The body is not what its header says, or names several models.
pub fn read(x: &Exchange, body: Bytes, operation: Operation, mut incoming: Incoming) -> Result<Incoming, Refusal> {
    let bad = || Refusal::new(400, MISMATCH);
    let form = form_of(x);
    let resource = resource(operation, x.request.path());
    let unread = x.body.is_unread();
    match &form {
        _ if unread || body.is_empty() => {}
        Form::Json => {
            let peek = pass::peek(&body).map_err(|_| bad())?;
            incoming.model = peek.model.map(|model| model.into_owned());
        }
        Form::Multipart { boundary } => {
            let mut named = form::values(&body, boundary, "model");
            named.dedup();
            if named.len() > 1 {
                return Err(Refusal::new(400, "the form names several models"));
            }
            incoming.model = named.pop().filter(|model| !model.is_empty());
        }
        Form::Other if operation.names_model() => return Err(bad()),
        Form::Other => {}
    }
    incoming.passed_on = Some(PassedOn { resource, form, unread });
    incoming.dialect = None;
    incoming.body = body;
    Ok(incoming)
}

/// What is known of a request that is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOn {
    pub resource: Option<Resource>,
    pub form: Form,
    /// Its body is still on its way, and can be sent once.
    pub unread: bool,
}

impl PassedOn {
    /// The body for a target; the one on its way if none.
    ///
    /// # Errors
    /// The body is no JSON object.
    pub fn body(&self, incoming: &Incoming, model: &str) -> Result<Option<Vec<u8>>, Refusal> {
        if self.unread {
            return Ok(None);
        }
        let body = &incoming.body;
        let stored = self.resource.as_ref().is_some_and(|resource| !resource.rest.is_empty());
        let asks_a_model = incoming.operation.names_model() && !stored && !body.is_empty() && !model.is_empty();
        Ok(Some(match &self.form {
            Form::Json if asks_a_model || (incoming.model.is_some() && !model.is_empty()) => {
                let changes = Changes { model: Some(model), ..Changes::default() };
                pass::request(Dialect::OpenAiChat, body, &changes).map_err(|e| Refusal::new(400, e.to_string()))?
            }
            Form::Multipart { boundary } if asks_a_model => form::with(body, boundary, "model", model),
            _ => body.to_vec(),
        }))
    }
}

/// An answer on its way, of which only what it used is looked at.
pub struct Passing(pub PassingTap);

impl std::fmt::Debug for Passing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passing")
    }
}

impl BodyTransformer for Passing {
    fn push<'a>(
        &'a mut self,
        x: &'a mut Exchange,
        piece: Piece<'a>,
        out: &'a mut Vec<u8>,
        host: &'a Host,
    ) -> Turning<'a> {
        match piece {
            Piece::Head => {}
            Piece::Data(data) => {
                self.0.push(data);
                out.extend_from_slice(data);
            }
            Piece::End => {
                self.0.finish();
                note(x, self.0.seen(), true, &*host.clock);
            }
            Piece::Broken(fault) => return Turn::Refuse(Box::new(fault.clone())).into(),
        }
        Turn::Go.into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_the_kind_goes_along() {
        let of = |operation, path: &str| resource(operation, path.as_bytes()).map(|r| (r.kind, r.rest));
        use Operation as O;
        assert_eq!(of(O::Files, "/ai/v1/files/file-1/content"), Some(("files", "/file-1/content".into())));
        assert_eq!(of(O::Files, "/files"), Some(("files", String::new())));
        assert_eq!(of(O::Files, "/myfiles"), None);
        assert_eq!(of(O::Assistants, "/v1/threads/t/assistants"), Some(("threads", "/t/assistants".into())));
        assert_eq!(of(O::Speech, "/v1/audio/speech"), None);
        assert!(is_about_stored(O::Responses, b"/v1/responses/resp_1/cancel"));
        assert!(!is_about_stored(O::Responses, b"/v1/responses"));
    }
}
