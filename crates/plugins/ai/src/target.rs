//! A model at a provider, ready for calls: compiled once from the configuration.

use gibbon_llm::dialect::{Dialect, Leniency, Target as Wanted};
use gibbon_llm::pass::{Overrides, number};
use gibbon_llm::provider::{Operation, Preset, Settings, find};
use gibbon_pdk::{Build, BuildError, Exchange, UpstreamTls};

use crate::config::{self, LlamaFormat, Logging, MistralFormat, Options};
use crate::identity::Identity;
use crate::prices::Prices;
use crate::template::Template;

/// A model at a provider.
#[derive(Debug)]
pub struct Target {
    pub preset: Preset,
    /// What it is asked for; `None` forwards requests as they are.
    pub operation: Option<Operation>,
    pub route_type: String,
    /// The configured name; without one, clients name the model.
    pub model: Option<Template>,
    pub alias: Option<String>,
    pub weight: u16,
    /// Parameters that win over the client's.
    pub overrides: Overrides,
    pub identity: Identity,
    /// What a client shows as credentials is passed on.
    pub allow_override: bool,
    pub prices: Prices,
    pub logging: Logging,
    settings: Settings,
    /// Some settings have places for something of the request.
    templated: bool,
}

impl Target {
    /// Compiles a target.
    ///
    /// # Errors
    /// What of the configuration cannot be made to work.
    pub fn new(plugin: &str, config: &config::Target, build: &Build<'_>) -> Result<Self, BuildError> {
        let refused = |cause: String| BuildError { plugin: plugin.to_owned(), cause };
        let provider = &config.model.provider;
        let preset = *find(provider).ok_or_else(|| refused(format!("provider '{provider}' is unknown")))?;
        let operation = Operation::of_route_type(&config.route_type);
        let options = config.model.options.clone().unwrap_or_default();
        let settings = settings(&options);
        served(operation, &preset, &settings)
            .map_err(|why| refused(format!("route_type '{}' {why}", config.route_type)))?;
        let templated = texts(&settings).any(Template::has_places);
        let auth = config.auth.clone().unwrap_or_default();
        let identity = Identity::new(&preset, &auth, &options, build)
            .map_err(|e| refused(format!("provider '{provider}': {e}")))?;
        Ok(Target {
            preset,
            operation,
            route_type: config.route_type.clone(),
            model: config.model.name.as_deref().filter(|name| !name.is_empty()).map(Template::parse),
            alias: config.model.model_alias.clone(),
            weight: config.weight,
            overrides: overrides(&options),
            identity,
            allow_override: auth.allow_override,
            prices: Prices::new(&options, build),
            logging: config.logging,
            templated,
            settings,
        })
    }

    /// The provider's name.
    pub fn provider(&self) -> &'static str {
        self.preset.name
    }

    /// It is asked through Vertex AI.
    pub fn is_vertex(&self) -> bool {
        self.settings.is_vertex()
    }

    /// What the log says of a model at Azure beside its name.
    pub fn azure(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let of = &self.settings;
        let all = [
            ("azure_instance_id", &of.azure_instance),
            ("azure_deployment_id", &of.azure_deployment_id),
            ("azure_api_version", &of.azure_api_version),
        ];
        let there = all.into_iter().filter(|_| self.provider() == "azure");
        there.filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The configured address has places, and so is the whole of an address.
    pub fn has_placed_address(&self) -> bool {
        let texts = [&self.settings.upstream_url, &self.settings.upstream_path];
        texts.into_iter().flatten().any(|text| Template::has_places(text))
    }

    /// Addresses and versions for a request.
    ///
    /// # Errors
    /// What a template misses.
    pub fn settings(&self, x: &Exchange) -> Result<Settings, String> {
        let mut settings = self.settings.clone();
        if self.templated {
            for text in places(&mut settings).into_iter().flatten() {
                *text = Template::parse(text).fill(x)?;
            }
        }
        Ok(settings)
    }

    /// What is spoken to it.
    pub fn speaks(&self, operation: Operation, model: &str, settings: &Settings) -> Dialect {
        self.preset.speaks(operation, model, settings)
    }

    /// How requests are written for it.
    pub fn wanted(&self, settings: &Settings) -> Wanted {
        self.preset.target(settings, Leniency::Standard)
    }

    /// TLS: a provider's own host is always verified, since keys are sent there; a configured address is as the
    /// service and the node say.
    pub fn tls(&self, x: &Exchange) -> Option<UpstreamTls> {
        let mut tls = x.service().map(|s| s.tls.clone()).unwrap_or_default();
        if self.settings.upstream_url.is_none() && tls.verify.is_none() {
            tls.verify = Some(true);
        }
        Some(tls)
    }
}

/// Whether requests of this kind can be served.
fn served(operation: Option<Operation>, preset: &Preset, settings: &Settings) -> Result<(), String> {
    match operation {
        Some(Operation::Realtime) => Err("is not served yet: conversations by voice need WebSocket".to_owned()),
        Some(operation) if operation.is_passed_on() && !preset.takes_as_it_is(operation, settings) => {
            let name = preset.name;
            Err(format!("is not served yet for provider '{name}': requests are not converted to its format"))
        }
        _ => Ok(()),
    }
}

fn settings(options: &Options) -> Settings {
    let gemini = options.gemini.as_ref();
    let format = match (options.llama2_format, options.mistral_format) {
        (Some(LlamaFormat::Raw), _) => Some("raw"),
        (Some(LlamaFormat::Openai), _) | (None, Some(MistralFormat::Openai)) => Some("openai"),
        (Some(LlamaFormat::Ollama), _) | (None, Some(MistralFormat::Ollama)) => Some("ollama"),
        (None, None) => None,
    };
    let configured_region = options.bedrock.as_ref().and_then(|b| b.aws_region.clone());
    Settings {
        upstream_url: options.upstream_url.clone(),
        upstream_path: options.upstream_path.clone(),
        azure_instance: options.azure_instance.clone(),
        azure_deployment_id: options.azure_deployment_id.clone(),
        azure_api_version: options.azure_api_version.clone(),
        anthropic_version: options.anthropic_version.clone(),
        aws_region: configured_region.or_else(|| std::env::var("AWS_REGION").ok()),
        gemini_api_endpoint: gemini.and_then(|g| g.api_endpoint.clone()),
        gemini_project_id: gemini.and_then(|g| g.project_id.clone()),
        gemini_location_id: gemini.and_then(|g| g.location_id.clone()),
        gemini_endpoint_id: gemini.and_then(|g| g.endpoint_id.clone()),
        dashscope_international: options.dashscope.as_ref().is_none_or(|d| d.international),
        databricks_workspace: options.databricks.as_ref().and_then(|d| d.workspace_instance_id.clone()),
        format: format.map(str::to_owned),
        base_url: None,
    }
}

/// The settings that may have places.
fn places(settings: &mut Settings) -> [Option<&mut String>; 12] {
    [
        settings.upstream_url.as_mut(),
        settings.upstream_path.as_mut(),
        settings.azure_instance.as_mut(),
        settings.azure_deployment_id.as_mut(),
        settings.azure_api_version.as_mut(),
        settings.anthropic_version.as_mut(),
        settings.aws_region.as_mut(),
        settings.gemini_api_endpoint.as_mut(),
        settings.gemini_project_id.as_mut(),
        settings.gemini_location_id.as_mut(),
        settings.gemini_endpoint_id.as_mut(),
        settings.databricks_workspace.as_mut(),
    ]
}

fn texts(settings: &Settings) -> impl Iterator<Item = &str> {
    [
        &settings.upstream_url,
        &settings.upstream_path,
        &settings.azure_instance,
        &settings.azure_deployment_id,
        &settings.azure_api_version,
        &settings.anthropic_version,
        &settings.aws_region,
        &settings.gemini_api_endpoint,
        &settings.gemini_project_id,
        &settings.gemini_location_id,
        &settings.gemini_endpoint_id,
        &settings.databricks_workspace,
    ]
    .into_iter()
    .filter_map(|text| text.as_deref())
}

fn overrides(options: &Options) -> Overrides {
    Overrides {
        max_tokens: options.max_tokens,
        temperature: options.temperature.and_then(number),
        top_p: options.top_p.and_then(number),
        top_k: options.top_k.map(Into::into),
    }
}
