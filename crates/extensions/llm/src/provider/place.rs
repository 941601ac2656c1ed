//! The address of an operation. Whatever comes from a client (a model's name, an id) is one safe
//! path segment or an error: it must never reach another path, host or query.

use super::Operation;
use super::preset::{Preset, Shape};
use crate::dialect::Dialect;
use gibbon_cloud::{Address, AddressError, encode};

/// What the configuration says about a target beside its provider and model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Replaces scheme, host, port and path.
    pub upstream_url: Option<String>,
    /// Replaces the path.
    pub upstream_path: Option<String>,
    /// Azure: the resource.
    pub azure_instance: Option<String>,
    /// Azure: the deployment; without it the `v1` surface is used.
    pub azure_deployment_id: Option<String>,
    /// Azure: the API version.
    pub azure_api_version: Option<String>,
    /// Anthropic: the API version.
    pub anthropic_version: Option<String>,
    /// Bedrock: the region.
    pub aws_region: Option<String>,
    /// Vertex AI: the host, when it is not the location's own.
    pub gemini_api_endpoint: Option<String>,
    /// Vertex AI: the project. Its presence chooses Vertex over AI Studio.
    pub gemini_project_id: Option<String>,
    /// Vertex AI: the location.
    pub gemini_location_id: Option<String>,
    /// Vertex AI: an endpoint of one's own instead of a published model.
    pub gemini_endpoint_id: Option<String>,
    /// Dashscope: the international host.
    pub dashscope_international: bool,
    /// Databricks: the workspace.
    pub databricks_workspace: Option<String>,
    /// Servers that speak several formats: which (`raw`, `ollama`, `openai`, `anthropic`).
    pub format: Option<String>,
    /// Any OpenAI-compatible server: the base, such as `http://host:8000/v1`.
    pub base_url: Option<String>,
}

impl Settings {
    /// Gemini means Vertex AI.
    #[must_use]
    pub fn is_vertex(&self) -> bool {
        self.gemini_project_id.is_some()
    }
}

/// Why there is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// The name of a model (or an id) cannot be part of a path.
    #[error(
        "the model name must be one path segment: no slashes, dots alone, blanks or any of \\ % ? # < > \" {{ }} | ^"
    )]
    Model,
    /// What a path names below a resource is no id.
    #[error("an id in the path must be letters, digits or any of - _ . ~ :")]
    Id,
    /// The provider does not do this.
    #[error("provider {provider} has no {operation:?}")]
    Operation {
        /// The provider.
        provider: &'static str,
        /// What it lacks.
        operation: Operation,
    },
    /// A setting is missing.
    #[error("provider {provider} needs {setting}")]
    Setting {
        /// The provider.
        provider: &'static str,
        /// What it needs.
        setting: &'static str,
    },
    /// A configured URL is none.
    #[error("the upstream URL {why}")]
    Url {
        /// What is wrong with it.
        why: &'static str,
    },
}

impl From<AddressError> for PlaceError {
    fn from(error: AddressError) -> Self {
        Self::Url { why: error.why }
    }
}

/// The name of a model as one path segment. ARNs and names like `models/x` are encoded as one; all
/// else that could mean something in a path is refused.
///
/// # Errors
/// [`PlaceError::Model`].
pub fn model_segment(name: &str) -> Result<String, PlaceError> {
    let bad =
        |c: char| c.is_control() || matches!(c, ' ' | '\\' | '%' | '?' | '#' | '<' | '>' | '"' | '{' | '}' | '|' | '^');
    let slashes_allowed = name.starts_with("arn:") || name.starts_with("models/");
    let dots = name.split('/').any(|s| matches!(s, "" | "." | ".."));
    if dots || name.chars().any(bad) || (name.contains('/') && !slashes_allowed) {
        return Err(PlaceError::Model);
    }
    let mut out = String::with_capacity(name.len());
    encode(name.strip_prefix("models/").unwrap_or(name), &mut out);
    Ok(out)
}

impl Preset {
    /// Where `operation` goes for `model`, as the settings have it. `id` names a file, batch or
    /// response; `stream` matters where it is part of the path.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn place(
        &self,
        operation: Operation,
        model: &str,
        stream: bool,
        settings: &Settings,
    ) -> Result<Address, PlaceError> {
        if let Some(url) = &settings.upstream_url {
            let mut address = Address::parse(url)?;
            // The chat of this provider lies below whatever address it is given.
            if self.shape == Shape::HuggingFace && operation == Operation::Chat {
                append(&mut address, "/v1/chat/completions");
            }
            return Ok(address);
        }
        if !self.operations.contains(&operation) {
            return Err(PlaceError::Operation { provider: self.name, operation });
        }
        let mut address = Address::parse(&self.base(settings)?)?;
        match &settings.upstream_path {
            Some(path) => address.path = format!("/{}", path.trim_start_matches('/')),
            None => self.extend(&mut address, operation, model, stream, settings)?,
        }
        Ok(address)
    }

    /// Where something of a kind goes that clients name by its id: `resource` is one of the operation's, `rest` what
    /// stands behind it in the client's path. An address that is configured with places of its own is the whole of it.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn place_of(
        &self,
        operation: Operation,
        resource: &str,
        rest: &str,
        model: &str,
        settings: &Settings,
        whole: bool,
    ) -> Result<Address, PlaceError> {
        let mut address = self.place(operation, model, false, settings)?;
        if whole {
            return Ok(address);
        }
        let usual = operation.openai_path().unwrap_or_default();
        if resource != usual
            && let Some(before) = address.path.strip_suffix(usual)
        {
            address.path = format!("{before}{resource}");
        }
        for segment in rest.split('/').filter(|segment| !segment.is_empty()) {
            // What ids are made of; anything else might lead somewhere else.
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~' | b':');
            if !segment.bytes().all(plain) || segment.bytes().all(|b| b == b'.') {
                return Err(PlaceError::Id);
            }
            address.path.push('/');
            address.path.push_str(segment);
        }
        Ok(address)
    }

    /// The address the settings stand for when `dialect` is spoken in place of the provider's own:
    /// several servers speak OpenAI's or Anthropic's format beside theirs.
    #[must_use]
    pub fn speaking(&self, dialect: Dialect) -> Self {
        let shape = match (self.shape, dialect) {
            (
                Shape::Ollama | Shape::HuggingFace,
                Dialect::OpenAiChat | Dialect::OpenAiCompletions | Dialect::OpenAiResponses,
            ) => Shape::OpenAi,
            (Shape::Ollama, Dialect::Anthropic) => Shape::Anthropic,
            (shape, _) => shape,
        };
        Self { shape, dialect, ..*self }
    }

    fn base(&self, settings: &Settings) -> Result<String, PlaceError> {
        if let Some(base) = &settings.base_url {
            return Ok(base.trim_end_matches('/').to_owned());
        }
        let need =
            |value: &Option<String>, setting| value.clone().ok_or(PlaceError::Setting { provider: self.name, setting });
        if self.shape == Shape::Gemini && settings.is_vertex() {
            let host = match (&settings.gemini_api_endpoint, &settings.gemini_location_id) {
                (Some(host), _) => host.clone(),
                (None, Some(location)) if location != "global" => format!("{location}-aiplatform.googleapis.com"),
                _ => "aiplatform.googleapis.com".to_owned(),
            };
            return Ok(if host.contains("://") { host } else { format!("https://{host}") });
        }
        let mut base = self.base.to_owned();
        for (placeholder, value) in [
            ("{azure_instance}", &settings.azure_instance),
            ("{aws_region}", &settings.aws_region),
            ("{workspace_instance_id}", &settings.databricks_workspace),
        ] {
            if base.contains(placeholder) {
                let name = placeholder.trim_matches(['{', '}']);
                base = base.replace(placeholder, &host_label(&need(value, name)?)?);
            }
        }
        base = base.replace("{dashscope_region}", if settings.dashscope_international { "-intl" } else { "" });
        if self.shape == Shape::OpenAi && self.name == "ollama" {
            base.push_str("/v1");
        }
        if self.shape == Shape::OpenAi && self.name == "huggingface" {
            base.push_str("/v1");
        }
        if base.is_empty() {
            return Err(PlaceError::Setting { provider: self.name, setting: "upstream_url" });
        }
        Ok(base)
    }

    fn extend(
        &self,
        address: &mut Address,
        operation: Operation,
        model: &str,
        stream: bool,
        settings: &Settings,
    ) -> Result<(), PlaceError> {
        use Operation as O;
        let lacks = PlaceError::Operation { provider: self.name, operation };
        match self.shape {
            Shape::OpenAi => {
                append(address, &format!("/{}", operation.openai_path().ok_or(lacks)?));
                if operation == O::Realtime {
                    address.query.push(("model".into(), model.into()));
                }
            }
            Shape::Azure => self.azure(address, operation, model, settings)?,
            Shape::Anthropic => append(
                address,
                match operation {
                    O::Chat => "/v1/messages",
                    O::Completions => "/v1/complete",
                    O::CountTokens => "/v1/messages/count_tokens",
                    O::Models => "/v1/models",
                    O::Batches => "/v1/messages/batches",
                    O::Files => "/v1/files",
                    _ => return Err(lacks),
                },
            ),
            Shape::Gemini => self.gemini(address, operation, model, stream, settings)?,
            Shape::Bedrock => {
                let call = match (operation, stream) {
                    (O::Chat, false) => "converse",
                    (O::Chat, true) => "converse-stream",
                    (O::CountTokens, _) => "count-tokens",
                    (O::Embeddings | O::Images | O::Rerank, false) => "invoke",
                    (O::Embeddings | O::Images | O::Rerank, true) => "invoke-with-response-stream",
                    (O::Batches, _) => {
                        append(address, "/model-invocation-job");
                        return Ok(());
                    }
                    _ => return Err(lacks),
                };
                append(address, &format!("/model/{}/{call}", model_segment(model)?));
            }
            Shape::Cohere => append(
                address,
                match operation {
                    O::Chat => "/v2/chat",
                    O::Completions => "/v1/generate",
                    O::Embeddings => "/v2/embed",
                    O::Rerank => "/v2/rerank",
                    O::Models => "/v1/models",
                    _ => return Err(lacks),
                },
            ),
            Shape::Ollama => append(
                address,
                match operation {
                    O::Chat => "/api/chat",
                    O::Completions => "/api/generate",
                    O::Embeddings => "/api/embed",
                    O::Models => "/api/tags",
                    _ => return Err(lacks),
                },
            ),
            Shape::HuggingFace => {
                let path = match operation {
                    O::Chat => "/v1/chat/completions".to_owned(),
                    O::Completions => format!("/hf-inference/models/{}", hub_model(model)?),
                    O::Embeddings => {
                        format!("/hf-inference/models/{}/pipeline/feature-extraction", hub_model(model)?)
                    }
                    _ => return Err(lacks),
                };
                append(address, &path);
            }
            Shape::Given => return Err(PlaceError::Setting { provider: self.name, setting: "upstream_url" }),
        }
        Ok(())
    }

    fn azure(
        &self,
        address: &mut Address,
        operation: Operation,
        model: &str,
        settings: &Settings,
    ) -> Result<(), PlaceError> {
        use Operation as O;
        let suffix = operation.openai_path().ok_or(PlaceError::Operation { provider: self.name, operation })?;
        let version = settings.azure_api_version.as_deref().unwrap_or("2023-05-15").to_owned();
        let (path, version) = match (operation, &settings.azure_deployment_id) {
            (O::Responses | O::CountTokens, _) => (format!("/openai/v1/{suffix}"), Some("preview".to_owned())),
            (O::Videos, _) => ("/openai/v1/video/generations/jobs".to_owned(), Some("preview".to_owned())),
            (O::Files | O::Batches | O::Assistants | O::Models, _) => (format!("/openai/{suffix}"), Some(version)),
            (O::Realtime, deployment) => {
                let deployment = deployment.as_deref().unwrap_or(model);
                address.query.push(("deployment".into(), deployment.into()));
                ("/openai/realtime".to_owned(), Some(version))
            }
            (_, Some(deployment)) => {
                (format!("/openai/deployments/{}/{suffix}", model_segment(deployment)?), Some(version))
            }
            // The newer surface takes the deployment as the model in the body.
            (_, None) => (format!("/openai/v1/{suffix}"), None),
        };
        append(address, &path);
        address.query.extend(version.map(|v| ("api-version".to_owned(), v)));
        Ok(())
    }

    fn gemini(
        &self,
        address: &mut Address,
        operation: Operation,
        model: &str,
        stream: bool,
        settings: &Settings,
    ) -> Result<(), PlaceError> {
        use Operation as O;
        let lacks = PlaceError::Operation { provider: self.name, operation };
        let vertex = settings.is_vertex();
        let verb = match (operation, stream) {
            (O::Chat | O::Images, false) => "generateContent",
            (O::Chat | O::Images, true) => "streamGenerateContent",
            (O::CountTokens, _) => "countTokens",
            (O::Embeddings, _) if vertex => "predict",
            (O::Embeddings, _) => "batchEmbedContents",
            (O::Videos, _) => "predictLongRunning",
            (O::Batches, _) if !vertex => "batchGenerateContent",
            (O::Models, _) if !vertex => {
                append(address, "/v1beta/models");
                return Ok(());
            }
            (O::Files, _) if !vertex => {
                append(address, "/v1beta/files");
                return Ok(());
            }
            (O::Realtime, _) if !vertex => {
                append(address, "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent");
                return Ok(());
            }
            _ => return Err(lacks),
        };
        if vertex {
            let need = |value: &Option<String>, setting| {
                let value = value.as_deref().ok_or(PlaceError::Setting { provider: self.name, setting })?;
                model_segment(value)
            };
            let project = need(&settings.gemini_project_id, "project_id")?;
            let location = need(&settings.gemini_location_id, "location_id")?;
            let resource = match (&settings.gemini_endpoint_id, publisher(model)) {
                (Some(endpoint), _) => format!("endpoints/{}", model_segment(endpoint)?),
                (None, "anthropic") if operation == O::CountTokens => {
                    append(
                        address,
                        &format!(
                            "/v1/projects/{project}/locations/{location}/publishers/anthropic/models/count-tokens:rawPredict"
                        ),
                    );
                    return Ok(());
                }
                (None, publisher) => format!("publishers/{publisher}/models/{}", model_segment(model)?),
            };
            // Models of others are spoken to in their own format.
            let verb = match (publisher(model), stream) {
                ("google", _) => verb,
                (_, false) => "rawPredict",
                (_, true) => "streamRawPredict",
            };
            append(address, &format!("/v1/projects/{project}/locations/{location}/{resource}:{verb}"));
        } else {
            append(address, &format!("/v1beta/models/{}:{verb}", model_segment(model)?));
        }
        if address.path.ends_with(":streamGenerateContent") {
            address.query.push(("alt".into(), "sse".into()));
        }
        Ok(())
    }
}

/// Who publishes a model on Vertex AI.
pub(super) fn publisher(model: &str) -> &'static str {
    if model.starts_with("claude") {
        "anthropic"
    } else if ["mistral", "codestral", "ministral"].iter().any(|p| model.starts_with(p)) {
        "mistralai"
    } else if model.starts_with("jamba") {
        "ai21"
    } else {
        "google"
    }
}

/// The name of a model on the hub: an owner and a name.
fn hub_model(model: &str) -> Result<String, PlaceError> {
    let segments: Vec<String> = model.split('/').map(model_segment).collect::<Result<_, _>>()?;
    if segments.len() > 2 {
        return Err(PlaceError::Model);
    }
    Ok(segments.join("/"))
}

/// A setting that becomes part of a host name.
fn host_label(text: &str) -> Result<String, PlaceError> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if text.is_empty() || !text.bytes().all(ok) {
        return Err(PlaceError::Url { why: "has a part of its host that is no host name" });
    }
    Ok(text.to_owned())
}

fn append(address: &mut Address, path: &str) {
    let kept = address.path.trim_end_matches('/').len();
    address.path.truncate(kept);
    if !address.path.ends_with(path) {
        address.path.push_str(path);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::provider::find;

    #[test]
    fn what_has_an_id_lies_below_its_kind() {
        let of = |provider: &str, operation, resource, rest| {
            let settings = Settings { azure_instance: Some("i".into()), ..Settings::default() };
            let address = find(provider).unwrap().place_of(operation, resource, rest, "", &settings, false);
            address.map(|a| a.path)
        };
        use Operation as O;
        assert_eq!(of("openai", O::Files, "files", "/file-1/content").unwrap(), "/v1/files/file-1/content");
        assert_eq!(of("openai", O::Assistants, "threads", "/t_1/runs").unwrap(), "/v1/threads/t_1/runs");
        assert_eq!(of("azure", O::Batches, "batches", "/b/cancel").unwrap(), "/openai/batches/b/cancel");
        assert_eq!(of("openai", O::Files, "files", "").unwrap(), "/v1/files");
        for bad in ["/..", "/../models", "/a%2fb", "/a?b", "/."] {
            assert_eq!(of("openai", O::Files, "files", bad), Err(PlaceError::Id), "{bad}");
        }
    }

    fn url(provider: &str, operation: Operation, model: &str, stream: bool, settings: &Settings) -> String {
        match find(provider).unwrap().place(operation, model, stream, settings) {
            Ok(a) => {
                let scheme = if a.tls { "https" } else { "http" };
                format!("{scheme}://{}{}", a.authority(), a.target())
            }
            Err(e) => format!("error: {e}"),
        }
    }

    #[test]
    fn each_provider_has_its_addresses() {
        use Operation::*;
        let none = Settings::default();
        let s = |f: fn(&mut Settings)| {
            let mut s = Settings::default();
            f(&mut s);
            s
        };
        let azure = s(|s| {
            s.azure_instance = Some("res".into());
            s.azure_deployment_id = Some("dep".into());
        });
        let azure_v1 = s(|s| s.azure_instance = Some("res".into()));
        let bedrock = s(|s| s.aws_region = Some("eu-west-1".into()));
        let vertex = s(|s| {
            s.gemini_project_id = Some("p1".into());
            s.gemini_location_id = Some("us-east5".into());
        });
        let global = s(|s| {
            s.gemini_project_id = Some("p1".into());
            s.gemini_location_id = Some("global".into());
        });
        let intl = s(|s| s.dashscope_international = true);
        let bricks = s(|s| s.databricks_workspace = Some("dbc-1".into()));
        let local = s(|s| s.base_url = Some("http://gpu:8000/v1/".into()));
        for (provider, operation, model, stream, settings, expected) in [
            ("openai", Chat, "gpt-4o", true, &none, "https://api.openai.com/v1/chat/completions"),
            ("openai", Realtime, "gpt-r", false, &none, "https://api.openai.com/v1/realtime?model=gpt-r"),
            (
                "azure",
                Chat,
                "gpt",
                false,
                &azure,
                "https://res.openai.azure.com/openai/deployments/dep/chat/completions?api-version=2023-05-15",
            ),
            ("azure", Chat, "gpt", false, &azure_v1, "https://res.openai.azure.com/openai/v1/chat/completions"),
            (
                "azure",
                Responses,
                "gpt",
                false,
                &azure,
                "https://res.openai.azure.com/openai/v1/responses?api-version=preview",
            ),
            ("azure", Files, "gpt", false, &azure, "https://res.openai.azure.com/openai/files?api-version=2023-05-15"),
            ("azure", Chat, "gpt", false, &none, "error: provider azure needs azure_instance"),
            ("anthropic", Chat, "claude", true, &none, "https://api.anthropic.com/v1/messages"),
            ("anthropic", CountTokens, "claude", false, &none, "https://api.anthropic.com/v1/messages/count_tokens"),
            ("anthropic", Embeddings, "claude", false, &none, "error: provider anthropic has no Embeddings"),
            (
                "gemini",
                Chat,
                "gemini-2.5-pro",
                false,
                &none,
                "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent",
            ),
            (
                "gemini",
                Chat,
                "models/gemini-2.5-pro",
                true,
                &none,
                "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            ),
            (
                "gemini",
                Embeddings,
                "gemini-embedding-001",
                false,
                &none,
                "https://generativelanguage.googleapis.com/v1beta/models/gemini-embedding-001:batchEmbedContents",
            ),
            (
                "gemini",
                Chat,
                "gemini-2.5-pro",
                true,
                &vertex,
                "https://us-east5-aiplatform.googleapis.com/v1/projects/p1/locations/us-east5/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            ),
            (
                "gemini",
                Chat,
                "claude-sonnet-4@20250514",
                true,
                &global,
                "https://aiplatform.googleapis.com/v1/projects/p1/locations/global/publishers/anthropic/models/claude-sonnet-4%4020250514:streamRawPredict",
            ),
            (
                "gemini",
                Embeddings,
                "text-embedding-005",
                false,
                &vertex,
                "https://us-east5-aiplatform.googleapis.com/v1/projects/p1/locations/us-east5/publishers/google/models/text-embedding-005:predict",
            ),
            (
                "bedrock",
                Chat,
                "anthropic.claude-3:0",
                true,
                &bedrock,
                "https://bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-3%3A0/converse-stream",
            ),
            (
                "bedrock",
                Chat,
                "arn:aws:bedrock:us-east-1:1:inference-profile/x",
                false,
                &bedrock,
                "https://bedrock-runtime.eu-west-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse",
            ),
            (
                "bedrock",
                Embeddings,
                "amazon.titan-embed-text-v2:0",
                false,
                &bedrock,
                "https://bedrock-runtime.eu-west-1.amazonaws.com/model/amazon.titan-embed-text-v2%3A0/invoke",
            ),
            ("cohere", Chat, "command", false, &none, "https://api.cohere.com/v2/chat"),
            ("cohere", Rerank, "r", false, &none, "https://api.cohere.com/v2/rerank"),
            ("mistral", Embeddings, "m", false, &none, "https://api.mistral.ai/v1/embeddings"),
            ("huggingface", Chat, "a/b", false, &none, "https://router.huggingface.co/v1/chat/completions"),
            (
                "huggingface",
                Embeddings,
                "a/b",
                false,
                &none,
                "https://router.huggingface.co/hf-inference/models/a/b/pipeline/feature-extraction",
            ),
            ("llama2", Chat, "m", false, &none, "error: provider llama2 needs upstream_url"),
            ("ollama", Chat, "m", false, &none, "http://localhost:11434/api/chat"),
            (
                "dashscope",
                Chat,
                "q",
                false,
                &intl,
                "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions",
            ),
            (
                "dashscope",
                Chat,
                "q",
                false,
                &none,
                "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions",
            ),
            (
                "databricks",
                Chat,
                "m",
                false,
                &bricks,
                "https://dbc-1.cloud.databricks.com/serving-endpoints/v1/chat/completions",
            ),
            ("vllm", Chat, "m", false, &local, "http://gpu:8000/v1/chat/completions"),
            ("groq", Models, "m", false, &none, "https://api.groq.com/openai/v1/models"),
        ] {
            assert_eq!(url(provider, operation, model, stream, settings), expected, "{provider} {operation:?}");
        }
    }

    #[test]
    fn a_configured_url_or_path_replaces_the_providers_own() {
        let s = Settings { upstream_url: Some("http://h:81/x/y?a=b%20c".into()), ..Settings::default() };
        assert_eq!(url("openai", Operation::Chat, "m", false, &s), "http://h:81/x/y?a=b%20c");
        assert_eq!(url("huggingface", Operation::Chat, "m", false, &s), "http://h:81/x/y/v1/chat/completions?a=b%20c");
        let s = Settings { upstream_path: Some("/p".into()), ..Settings::default() };
        assert_eq!(url("openai", Operation::Chat, "m", false, &s), "https://api.openai.com/p");
    }

    #[test]
    fn ollama_speaks_openai_and_anthropic_too() {
        let ollama = find("ollama").unwrap();
        let path = |d| ollama.speaking(d).place(Operation::Chat, "m", false, &Settings::default()).unwrap().path;
        assert_eq!(path(Dialect::OpenAiChat), "/v1/chat/completions");
        assert_eq!(path(Dialect::Anthropic), "/v1/messages");
    }

    #[test]
    fn a_name_cannot_leave_its_segment() {
        for bad in [
            "..",
            ".",
            "",
            "a/b",
            "a/../b",
            "a\\b",
            "a%2fb",
            "a?b",
            "a#b",
            "a b",
            "a\nb",
            "models/../x",
            "arn:x//y",
            "{x}",
        ] {
            assert_eq!(model_segment(bad), Err(PlaceError::Model), "{bad:?}");
        }
        assert_eq!(model_segment("gpt-4.1@x:y").unwrap(), "gpt-4.1%40x%3Ay");
        assert!(hub_model("a/b/c").is_err());
        let s = Settings { azure_instance: Some("evil.test/".into()), ..Settings::default() };
        assert!(find("azure").unwrap().place(Operation::Chat, "m", false, &s).is_err());
    }
}
