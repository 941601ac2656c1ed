//! The providers: a table. A server that speaks like OpenAI needs one line here and no code.

use super::{Operation, Quirks, Scheme, Settings};
use crate::dialect::{Dialect, Host, Leniency, MaxTokensField, Target};
use Operation as O;

/// One provider.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// The name in configuration.
    pub name: &'static str,
    /// `https://host/path`, without a slash at the end; placeholders in braces are filled from the
    /// settings. Empty when only the settings know the address.
    pub base: &'static str,
    /// How the address of an operation is built.
    pub shape: Shape,
    /// How a key is shown.
    pub scheme: Scheme,
    /// What it speaks for chat.
    pub dialect: Dialect,
    /// What it can do.
    pub operations: &'static [Operation],
    /// What it does not like.
    pub quirks: Quirks,
    /// Encodings of answers it may be asked for. Brotli never: nothing here could read it.
    pub accept_encoding: Option<&'static str>,
    /// `Set-Cookie` of its answers is dropped: it is between the provider and the gateway.
    pub drops_cookies: bool,
}

impl Preset {
    /// What is spoken to this provider: it depends on the operation, for servers of Llama on the
    /// configured format, and on Vertex AI on whose model it is.
    #[must_use]
    pub fn speaks(&self, operation: Operation, model: &str, settings: &Settings) -> Dialect {
        use Dialect as D;
        let completions = operation == O::Completions;
        let openai = match operation {
            O::Completions => D::OpenAiCompletions,
            O::Responses => D::OpenAiResponses,
            _ => D::OpenAiChat,
        };
        let ollama = if completions { D::OllamaGenerate } else { D::Ollama };
        match (self.shape, settings.format.as_deref()) {
            (Shape::OpenAi | Shape::Ollama | Shape::Given, Some("ollama")) | (Shape::Ollama, None) => ollama,
            (Shape::Ollama, Some("anthropic")) => D::Anthropic,
            (Shape::Given, Some("raw") | None) => D::LlamaRaw,
            (Shape::OpenAi | Shape::Azure | Shape::Ollama | Shape::Given, _) => openai,
            (Shape::HuggingFace, _) if matches!(operation, O::Completions | O::Embeddings) => D::HuggingFace,
            (Shape::HuggingFace, _) => openai,
            (Shape::Anthropic, _) if completions => D::AnthropicComplete,
            (Shape::Cohere, _) if completions => D::CohereGenerate,
            (Shape::Gemini, _) if settings.is_vertex() && super::place::publisher(model) == "anthropic" => D::Anthropic,
            (Shape::Gemini, _) if settings.is_vertex() && super::place::publisher(model) != "google" => openai,
            (Shape::Anthropic | Shape::Bedrock | Shape::Gemini | Shape::Cohere, _) => self.dialect,
        }
    }

    /// What it is asked for in order to serve an operation: a chat where it has nothing else that generates text.
    #[must_use]
    pub fn stands_in(&self, operation: Operation) -> Operation {
        let text = matches!(operation, O::Completions | O::Responses);
        if text && !self.operations.contains(&operation) { O::Chat } else { operation }
    }

    /// Whether it takes requests of OpenAI's clients as they are, for what is not converted.
    #[must_use]
    pub fn takes_as_it_is(&self, operation: Operation, settings: &Settings) -> bool {
        let openai = matches!(self.shape, Shape::OpenAi | Shape::Azure);
        openai && (settings.upstream_url.is_some() || self.operations.contains(&operation))
    }

    /// How requests are written for this provider.
    #[must_use]
    pub fn target(&self, settings: &Settings, leniency: Leniency) -> Target {
        let classic = self.quirks.max_tokens_classic;
        Target {
            leniency,
            max_tokens_field: if classic { MaxTokensField::Classic } else { MaxTokensField::ByModel },
            host: if self.shape == Shape::Gemini && settings.is_vertex() { Host::Vertex } else { Host::Own },
            history_reasoning: self.quirks.takes_reasoning,
            ..Target::default()
        }
    }
}

/// How addresses are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// OpenAI's paths below the base.
    OpenAi,
    /// Azure: deployments, or the `v1` surface.
    Azure,
    /// Anthropic.
    Anthropic,
    /// AI Studio, or Vertex AI when a project is set.
    Gemini,
    /// Bedrock: the model in the path.
    Bedrock,
    /// Cohere.
    Cohere,
    /// Ollama.
    Ollama,
    /// Hugging Face's router.
    HuggingFace,
    /// The settings name the whole address.
    Given,
}

const BEARER: Scheme = Scheme::Bearer;
const CHAT: &[O] = &[O::Chat, O::Models];
const USUAL: &[O] = &[O::Chat, O::Completions, O::Embeddings, O::Models];
const OPENAI: &[O] = &[
    O::Chat,
    O::Completions,
    O::Responses,
    O::Embeddings,
    O::CountTokens,
    O::Models,
    O::Files,
    O::Batches,
    O::Assistants,
    O::Speech,
    O::Transcriptions,
    O::Translations,
    O::Images,
    O::ImageEdits,
    O::Videos,
    O::Realtime,
];

/// A provider that speaks like OpenAI.
const fn compatible(name: &'static str, base: &'static str, operations: &'static [O], quirks: Quirks) -> Preset {
    Preset {
        name,
        base,
        shape: Shape::OpenAi,
        scheme: BEARER,
        dialect: Dialect::OpenAiChat,
        operations,
        quirks,
        accept_encoding: None,
        drops_cookies: false,
    }
}

const PLAIN: Quirks = Quirks::NONE;
const THINKING: Quirks = Quirks { takes_reasoning: true, ..PLAIN };

/// Every provider known by name.
pub static PRESETS: &[Preset] = &[
    Preset {
        quirks: Quirks { max_tokens_classic: false, remove: &["top_k"], ..PLAIN },
        accept_encoding: Some("gzip, identity"),
        drops_cookies: true,
        ..compatible("openai", "https://api.openai.com/v1", OPENAI, PLAIN)
    },
    Preset {
        shape: Shape::Azure,
        scheme: Scheme::Header("api-key"),
        quirks: Quirks { max_tokens_classic: false, remove: &["top_k"], ..PLAIN },
        drops_cookies: true,
        ..compatible("azure", "https://{azure_instance}.openai.azure.com", OPENAI, PLAIN)
    },
    Preset {
        shape: Shape::Anthropic,
        scheme: Scheme::Header("x-api-key"),
        dialect: Dialect::Anthropic,
        ..compatible(
            "anthropic",
            "https://api.anthropic.com",
            &[O::Chat, O::Completions, O::CountTokens, O::Models, O::Batches, O::Files],
            PLAIN,
        )
    },
    Preset {
        shape: Shape::Bedrock,
        scheme: Scheme::SigV4,
        dialect: Dialect::Bedrock,
        accept_encoding: Some("gzip, identity"),
        drops_cookies: true,
        ..compatible(
            "bedrock",
            "https://bedrock-runtime.{aws_region}.amazonaws.com",
            &[O::Chat, O::Embeddings, O::CountTokens, O::Rerank, O::Images, O::Batches],
            PLAIN,
        )
    },
    Preset {
        shape: Shape::Gemini,
        scheme: Scheme::Header("x-goog-api-key"),
        dialect: Dialect::Gemini,
        accept_encoding: Some("identity"),
        drops_cookies: true,
        ..compatible(
            "gemini",
            "https://generativelanguage.googleapis.com",
            &[
                O::Chat,
                O::Embeddings,
                O::CountTokens,
                O::Models,
                O::Files,
                O::Batches,
                O::Images,
                O::Videos,
                O::Realtime,
            ],
            PLAIN,
        )
    },
    Preset {
        shape: Shape::Cohere,
        dialect: Dialect::Cohere,
        ..compatible(
            "cohere",
            "https://api.cohere.com",
            &[O::Chat, O::Completions, O::Embeddings, O::Rerank, O::Models],
            PLAIN,
        )
    },
    Preset {
        drops_cookies: true,
        ..compatible(
            "mistral",
            "https://api.mistral.ai/v1",
            &[O::Chat, O::Completions, O::Embeddings, O::Transcriptions, O::Models, O::Files, O::Batches],
            Quirks { rename: &[("seed", "random_seed")], remove: &["top_k", "stream_options", "user"], ..PLAIN },
        )
    },
    Preset {
        shape: Shape::HuggingFace,
        ..compatible("huggingface", "https://router.huggingface.co", &[O::Chat, O::Completions, O::Embeddings], PLAIN)
    },
    Preset {
        shape: Shape::Given,
        dialect: Dialect::LlamaRaw,
        ..compatible("llama2", "", &[O::Chat, O::Completions], Quirks { remove: &["top_k"], ..PLAIN })
    },
    Preset {
        shape: Shape::Ollama,
        scheme: Scheme::None,
        dialect: Dialect::Ollama,
        ..compatible("ollama", "http://localhost:11434", USUAL, PLAIN)
    },
    compatible("xai", "https://api.x.ai/v1", &[O::Chat, O::Responses, O::Images, O::Models], PLAIN),
    compatible("deepseek", "https://api.deepseek.com/v1", CHAT, THINKING),
    compatible(
        "cerebras",
        "https://api.cerebras.ai/v1",
        USUAL,
        Quirks { refuse: &["frequency_penalty", "presence_penalty", "logit_bias"], ..PLAIN },
    ),
    compatible(
        "dashscope",
        "https://dashscope{dashscope_region}.aliyuncs.com/compatible-mode/v1",
        &[O::Chat, O::Embeddings, O::Models],
        THINKING,
    ),
    compatible(
        "databricks",
        "https://{workspace_instance_id}.cloud.databricks.com/serving-endpoints/v1",
        USUAL,
        Quirks { remove: &["stream_options"], ..PLAIN },
    ),
    compatible("vllm", "", &[O::Chat, O::Completions, O::Responses, O::Embeddings, O::Rerank, O::Models], THINKING),
    compatible("sglang", "", USUAL, THINKING),
    compatible("tgi", "", CHAT, PLAIN),
    compatible("lmstudio", "http://localhost:1234/v1", USUAL, PLAIN),
    compatible(
        "groq",
        "https://api.groq.com/openai/v1",
        &[O::Chat, O::Responses, O::Speech, O::Transcriptions, O::Translations, O::Models],
        Quirks { refuse: &["logprobs", "logit_bias", "top_logprobs"], ..PLAIN },
    ),
    compatible("together", "https://api.together.xyz/v1", USUAL, PLAIN),
    compatible("fireworks", "https://api.fireworks.ai/inference/v1", USUAL, PLAIN),
    compatible("openrouter", "https://openrouter.ai/api/v1", USUAL, PLAIN),
    compatible("perplexity", "https://api.perplexity.ai", &[O::Chat], PLAIN),
    compatible("moonshot", "https://api.moonshot.ai/v1", CHAT, THINKING),
    compatible("zhipu", "https://open.bigmodel.cn/api/paas/v4", &[O::Chat, O::Embeddings], THINKING),
    compatible("nvidia", "https://integrate.api.nvidia.com/v1", USUAL, PLAIN),
    compatible("sambanova", "https://api.sambanova.ai/v1", USUAL, PLAIN),
    compatible("deepinfra", "https://api.deepinfra.com/v1/openai", USUAL, PLAIN),
    compatible("nebius", "https://api.studio.nebius.com/v1", USUAL, PLAIN),
    compatible("hyperbolic", "https://api.hyperbolic.xyz/v1", USUAL, PLAIN),
    compatible("novita", "https://api.novita.ai/v3/openai", USUAL, PLAIN),
    compatible("baseten", "https://inference.baseten.co/v1", CHAT, PLAIN),
    compatible("github", "https://models.github.ai/inference", &[O::Chat, O::Embeddings], PLAIN),
];

/// The provider of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|p| p.name == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spoken_depends_on_operation_format_and_model() {
        let speaks = |name: &str, operation, model: &str, format: Option<&str>, vertex: bool| {
            let settings = Settings {
                format: format.map(str::to_owned),
                gemini_project_id: vertex.then(|| "p".to_owned()),
                ..Settings::default()
            };
            find(name).unwrap().speaks(operation, model, &settings)
        };
        use Dialect as D;
        for (name, operation, model, format, vertex, expected) in [
            ("openai", O::Chat, "m", None, false, D::OpenAiChat),
            ("openai", O::Completions, "m", None, false, D::OpenAiCompletions),
            ("azure", O::Responses, "m", None, false, D::OpenAiResponses),
            ("anthropic", O::Chat, "m", None, false, D::Anthropic),
            ("anthropic", O::Completions, "m", None, false, D::AnthropicComplete),
            ("cohere", O::Completions, "m", None, false, D::CohereGenerate),
            ("cohere", O::Embeddings, "m", None, false, D::Cohere),
            ("bedrock", O::Embeddings, "m", None, false, D::Bedrock),
            ("gemini", O::Chat, "gemini-x", None, true, D::Gemini),
            ("gemini", O::Chat, "claude-x", None, true, D::Anthropic),
            ("gemini", O::Chat, "mistral-x", None, true, D::OpenAiChat),
            ("huggingface", O::Chat, "m", None, false, D::OpenAiChat),
            ("huggingface", O::Embeddings, "m", None, false, D::HuggingFace),
            ("llama2", O::Chat, "m", Some("raw"), false, D::LlamaRaw),
            ("llama2", O::Chat, "m", None, false, D::LlamaRaw),
            ("llama2", O::Chat, "m", Some("openai"), false, D::OpenAiChat),
            ("llama2", O::Completions, "m", Some("ollama"), false, D::OllamaGenerate),
            ("mistral", O::Chat, "m", Some("openai"), false, D::OpenAiChat),
            ("mistral", O::Chat, "m", Some("ollama"), false, D::Ollama),
            ("ollama", O::Chat, "m", None, false, D::Ollama),
            ("ollama", O::Chat, "m", Some("openai"), false, D::OpenAiChat),
            ("ollama", O::Chat, "m", Some("anthropic"), false, D::Anthropic),
            ("vllm", O::Responses, "m", None, false, D::OpenAiResponses),
        ] {
            assert_eq!(speaks(name, operation, model, format, vertex), expected, "{name} {operation:?} {format:?}");
        }
    }

    #[test]
    fn every_provider_of_the_plugins_schema_is_known_and_names_are_unique() {
        for name in [
            "anthropic",
            "azure",
            "bedrock",
            "cerebras",
            "cohere",
            "dashscope",
            "databricks",
            "deepseek",
            "gemini",
            "huggingface",
            "llama2",
            "mistral",
            "ollama",
            "openai",
            "vllm",
            "xai",
        ] {
            assert!(find(name).is_some(), "{name}");
        }
        let mut names: Vec<&str> = PRESETS.iter().map(|p| p.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
