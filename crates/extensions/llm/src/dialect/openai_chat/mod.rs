//! OpenAI chat completions, and with it every server that speaks like it. What such servers add
//! (reasoning texts under several names, cache markers, signatures) is read here too; what they
//! refuse is the provider's business.

mod decoder;
mod encoder;
pub(super) mod messages;
pub(super) mod request;
pub(super) mod response;
pub(super) mod tap;

use super::{Beside, Codec, Dialect, Encoded, Reply, StreamDecoder, StreamEncoder, Target, failure, openai};
use crate::Result;
use crate::canonical::{EmbeddingRequest, EmbeddingResponse, Failure, ModelEntry, Request, Response};
use crate::seen::Seen;
use serde_json::json;

/// The codec.
#[derive(Debug)]
pub(super) struct OpenAiChat;

impl Codec for OpenAiChat {
    fn dialect(&self) -> Dialect {
        Dialect::OpenAiChat
    }

    fn decode_request(&self, body: &[u8], beside: &Beside) -> Result<Request> {
        request::read(body, beside)
    }

    fn encode_request(&self, request: &Request, target: &Target) -> Result<Encoded> {
        request::write(request, target)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response> {
        response::read(body)
    }

    fn encode_response(&self, response: &Response, reply: &Reply) -> Result<Encoded> {
        Ok(response::write(response, reply))
    }

    fn decode_failure(&self, status: u16, body: &[u8]) -> Failure {
        failure::read(status, body)
    }

    fn encode_failure(&self, failure: &Failure) -> Vec<u8> {
        json!({"error": openai::error_object(failure)}).to_string().into_bytes()
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(decoder::Decoder::default())
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(encoder::Encoder::new(reply))
    }

    fn tap_event(&self, _name: &str, data: &[u8], seen: &mut Seen) {
        tap::event(data, seen);
    }

    fn only_text<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        tap::only_text(data)
    }

    fn tap_body(&self, body: &[u8], seen: &mut Seen) {
        tap::body(body, seen);
    }

    fn decode_embedding_request(&self, body: &[u8], _beside: &Beside) -> Result<EmbeddingRequest> {
        openai::embeddings::read_request(body)
    }

    fn encode_embedding_request(&self, request: &EmbeddingRequest, target: &Target) -> Result<Encoded> {
        openai::embeddings::write_request(request, target)
    }

    fn decode_embeddings(&self, body: &[u8]) -> Result<EmbeddingResponse> {
        openai::embeddings::read_response(body)
    }

    fn encode_embeddings(
        &self,
        response: &EmbeddingResponse,
        request: &EmbeddingRequest,
        reply: &Reply,
    ) -> Result<Vec<u8>> {
        Ok(openai::embeddings::write_response(response, request, reply))
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelEntry>> {
        openai::models::read(body)
    }

    fn encode_models(&self, models: &[ModelEntry]) -> Result<Vec<u8>> {
        Ok(openai::models::write(models))
    }
}
