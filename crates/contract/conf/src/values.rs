//! The layers of a configuration put on top of each other: defaults, file, `KONG_*`, `GIBBON_*`, arguments. Each value keeps
//! its origin; secrets are resolved; every given value is checked against its kind. Meaning comes later.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::file;
use crate::origin::{Fault, Notice, NoticeKind, Origin};
use crate::table::{self, Default as TableDefault, Effect, Kind};
use crate::units::{parse_size, parse_time};
use crate::vault::{Options, Reference, VaultError, is_reference};
use crate::{Compat, Input, Surroundings};

/// A value somebody gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The text, with a vault reference already replaced by its secret.
    pub text: String,
    /// Where it came from.
    pub origin: Origin,
    /// The reference the text was resolved from.
    pub reference: Option<String>,
}

/// All settings with their values in force.
#[derive(Debug, Clone)]
pub struct Values {
    given: BTreeMap<String, Given>,
    compat: Compat,
}

/// A value in the form the Admin API shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Typed {
    /// Text, sizes, durations, choices.
    Text(String),
    /// On or off.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A list.
    List(Vec<String>),
}

/// What stands for a secret wherever settings are shown.
pub const MASK: &str = "******";

impl Values {
    /// Puts the layers together. Faults are bad values; unknown names and passed-over lines are notices.
    pub(crate) fn gather(
        input: &Input,
        surroundings: &dyn Surroundings,
        notices: &mut Vec<Notice>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut given = BTreeMap::new();
        for (name, text, origin) in layers(input, notices) {
            if known_name(&name) {
                given.insert(name, Given { text: text.trim().to_owned(), origin, reference: None });
            } else if let Some(text) = unknown(&name, &origin) {
                notices.push(Notice { kind: NoticeKind::Unknown, text, origin });
            }
        }
        let mut values = Self { given, compat: Compat::default() };
        values.follow_former_names(notices);
        values.resolve_secrets(input, surroundings, faults);
        if values.text("compat_version") == Some("3.15") {
            values.compat = Compat::V3_15;
        }
        values.check_kinds(faults);
        values.tell_without_effect(notices);
        values
    }

    /// Version whose defaults count.
    #[must_use]
    pub fn compat(&self) -> Compat {
        self.compat
    }

    /// The value somebody gave, if anybody did.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&Given> {
        self.given.get(name).filter(|given| !given.text.is_empty())
    }

    /// What vaults are configured with that have no entity.
    #[must_use]
    pub fn vault_options(&self) -> Options {
        Options::new(self.given.iter().map(|(name, given)| (name.clone(), given.text.clone())))
    }

    /// Everything given, by name.
    pub fn all_given(&self) -> impl Iterator<Item = (&str, &Given)> {
        self.given.iter().map(|(name, given)| (name.as_str(), given))
    }

    /// Origin of the value in force.
    #[must_use]
    pub fn origin(&self, name: &str) -> Origin {
        self.given.get(name).map_or(Origin::Default, |given| given.origin.clone())
    }

    /// Text in force; `None` when unset. An empty value unsets a default.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        if let Some(given) = self.given.get(name) {
            return (!given.text.is_empty()).then_some(given.text.as_str());
        }
        let setting = table::find(name)?;
        match setting.default {
            TableDefault::Follows(other) => self.text(other),
            _ => setting.default_for(self.compat).filter(|text| !text.is_empty() && *text != "\"\""),
        }
    }

    /// On or off; unset is off.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.text(name).and_then(parse_flag).unwrap_or(false)
    }

    /// Number in force.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.text(name).and_then(parse_number)
    }

    /// Number in force as a whole one within its type.
    #[must_use]
    pub fn whole<N: TryFrom<u64>>(&self, name: &str) -> Option<N> {
        let number = self.number(name).filter(|n| n.fract() == 0.0 && *n >= 0.0 && *n <= 9_007_199_254_740_992.0)?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        N::try_from(number as u64).ok()
    }

    /// Elements of a list; unset is empty.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name).map(parse_list).unwrap_or_default()
    }

    /// Bytes in force.
    #[must_use]
    pub fn size(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(parse_size)
    }

    /// Duration in force.
    #[must_use]
    pub fn time(&self, name: &str) -> Option<Duration> {
        self.text(name).and_then(parse_time)
    }

    /// Every set setting with its value, for the Admin API and `.kong_env`. Secrets are masked when asked.
    pub fn shown(&self, masked: bool) -> BTreeMap<String, Typed> {
        let names = table::all().map(|setting| setting.name).filter(|name| !name.contains("XXX"));
        let dynamic = self.given.keys().map(String::as_str);
        names
            .chain(dynamic)
            .filter_map(|name| {
                let text = self.text(name)?;
                let kind = table::find(name).map_or(Kind::Text, |setting| setting.kind);
                let value =
                    if masked && table::is_secret(name) { Typed::Text(MASK.to_owned()) } else { typed(kind, text) };
                Some((name.to_owned(), value))
            })
            .collect()
    }

    fn follow_former_names(&mut self, notices: &mut Vec<Notice>) {
        const FORMER: &[(&str, &str)] = &[
            ("opentelemetry_tracing", "tracing_instrumentations"),
            ("opentelemetry_tracing_sampling_rate", "tracing_sampling_rate"),
            ("privileged_worker", "dedicated_config_processing"),
            ("router_consistency", "worker_consistency"),
            ("admin_api_uri", "admin_gui_api_url"),
        ];
        // Names of nginx directives that have a setting of their own; the directive, nearer to nginx, wins as in Kong.
        const ALIASES: &[(&str, &str)] = &[
            ("nginx_main_user", "nginx_user"),
            ("nginx_main_daemon", "nginx_daemon"),
            ("nginx_main_worker_processes", "nginx_worker_processes"),
            ("nginx_http_real_ip_header", "real_ip_header"),
            ("nginx_http_real_ip_recursive", "real_ip_recursive"),
            ("nginx_proxy_real_ip_header", "real_ip_header"),
            ("nginx_proxy_real_ip_recursive", "real_ip_recursive"),
        ];
        for (former, newer) in FORMER {
            if let Some(given) = self.given.get(*former).cloned() {
                notices.push(Notice {
                    kind: NoticeKind::Deprecated,
                    text: format!("the '{former}' configuration property is deprecated, use '{newer}' instead"),
                    origin: given.origin.clone(),
                });
                self.given.entry((*newer).to_owned()).or_insert(given);
            }
        }
        for (directive, setting) in ALIASES {
            if let Some(given) = self.given.get(*directive).cloned() {
                self.given.insert((*setting).to_owned(), given);
            }
        }
    }

    fn resolve_secrets(&mut self, input: &Input, surroundings: &dyn Surroundings, faults: &mut Vec<Fault>) {
        let prefix = self.text("vault_env_prefix").map(str::to_owned);
        // A vault's own settings first: the others may be looked up in it.
        let (of_vaults, others): (Vec<_>, Vec<_>) = self
            .given
            .iter()
            .filter(|(_, given)| is_reference(&given.text))
            .map(|(name, _)| name.clone())
            .partition(|name| name.starts_with("vault_"));
        for name in of_vaults.into_iter().chain(others) {
            let options = self.vault_options();
            let Some(given) = self.given.get_mut(&name) else { continue };
            match resolve(&given.text, prefix.as_deref(), input, &options, surroundings) {
                Ok(secret) => given.reference = Some(std::mem::replace(&mut given.text, secret)),
                Err(error) => faults.push(
                    Fault::new(format!("failed to dereference '{}': {error} for config option '{name}'", given.text))
                        .at(&given.origin),
                ),
            }
        }
    }

    fn check_kinds(&self, faults: &mut Vec<Fault>) {
        for (name, given) in &self.given {
            let Some(setting) = table::find(name) else { continue };
            let unset = given.text.is_empty() || (given.text == "NONE" && crate::inject::is_injected(name));
            let unresolved = is_reference(&given.text) && given.reference.is_none();
            if unset || unresolved {
                continue;
            }
            let shown = if setting.is_secret() { MASK } else { given.text.as_str() };
            if let Some(message) = misfit(name, setting.kind, &given.text, shown) {
                let fault = Fault::new(message).at(&given.origin);
                // A list of choices already says what would be valid.
                let says_it = matches!(setting.kind, Kind::Choice(_)) || given.text == "cassandra";
                faults.push(if says_it { fault } else { fault.valid(setting.kind.expects()) });
            }
        }
    }

    fn tell_without_effect(&self, notices: &mut Vec<Notice>) {
        for (name, given) in &self.given {
            let Some(setting) = table::find(name) else { continue };
            let (kind, text) = match setting.effect {
                Effect::Honoured => continue,
                Effect::NoEffect(reason) => (NoticeKind::NoEffect, format!("{name} has no effect: {reason}")),
                Effect::Pending(reason) => (NoticeKind::Pending, format!("{name} has no effect yet: {reason}")),
            };
            // Whoever switches off what is not there gets what was asked for.
            let refrains = matches!(setting.effect, Effect::Pending(_)) && parse_flag(&given.text) == Some(false);
            if !refrains && self.text(name) != setting.default_for(self.compat) {
                notices.push(Notice { kind, text, origin: given.origin.clone() });
            }
        }
    }
}

/// All assignments, weakest first.
fn layers(input: &Input, notices: &mut Vec<Notice>) -> Vec<(String, String, Origin)> {
    let mut all = Vec::new();
    if let Some((path, text)) = &input.file {
        let (assignments, told) = file::parse(path, text);
        notices.extend(told);
        all.extend(assignments.into_iter().map(|a| (a.name, a.value, a.origin)));
    }
    for prefix in ["KONG_", "GIBBON_"] {
        let mut variables: Vec<_> = input
            .environment
            .iter()
            .filter(|(name, _)| name.starts_with(prefix) && name.len() > prefix.len())
            .collect();
        variables.sort();
        all.extend(variables.into_iter().filter_map(|(variable, value)| {
            let name = variable.strip_prefix(prefix)?.to_ascii_lowercase();
            Some((name, value.clone(), Origin::Environment(variable.clone())))
        }));
    }
    all.extend(input.arguments.iter().map(|(name, value)| (name.clone(), value.clone(), Origin::Argument)));
    all
}

fn known_name(name: &str) -> bool {
    table::find(name).is_some() || crate::inject::is_injected(name) || name.starts_with("vault_")
}

/// The warning for an unknown name, or `None` where the environment holds such names for other reasons.
fn unknown(name: &str, origin: &Origin) -> Option<String> {
    let from_environment = matches!(origin, Origin::Environment(_));
    if from_environment && (is_service_link(name) || is_from_image(name)) {
        return None;
    }
    Some(match table::nearest(name) {
        Some(nearest) => format!("unknown setting '{name}', ignored; did you mean '{nearest}'?"),
        None => format!("unknown setting '{name}', ignored"),
    })
}

/// Variables Kubernetes and Docker set in every container for services called `kong…`.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_service_host")
        || name.contains("_service_port")
        || name == "port"
        || name.ends_with("_port")
        || name.starts_with("port_")
        || ["_tcp", "_udp"].iter().any(|p| name.ends_with(p) || name.contains(&format!("{p}_")))
}

/// Variables that container images, charts and test tools set beside the settings.
fn is_from_image(name: &str) -> bool {
    matches!(name, "version" | "sha256" | "docker_tag" | "image" | "process_secrets" | "home" | "bin" | "password")
}

fn resolve(
    text: &str,
    prefix: Option<&str>,
    input: &Input,
    options: &Options,
    surroundings: &dyn Surroundings,
) -> Result<String, VaultError> {
    let reference = Reference::parse(text)?;
    if reference.vault == "env" {
        return reference.from_environment(prefix, |variable| {
            input.environment.iter().find(|(name, _)| name == variable).map(|(_, value)| value.as_str())
        });
    }
    surroundings.secret(&reference, options)
}

fn misfit(name: &str, kind: Kind, text: &str, shown: &str) -> Option<String> {
    match kind {
        Kind::Text | Kind::List => None,
        Kind::Flag => parse_flag(text).is_none().then(|| format!("{name} is not a boolean: '{shown}'")),
        Kind::Number => parse_number(text).is_none().then(|| format!("{name} is not a number: '{shown}'")),
        Kind::Size => parse_size(text).is_none().then(|| format!("{name} is not a size: '{shown}'")),
        Kind::Time => parse_time(text).is_none().then(|| format!("{name} is not a duration: '{shown}'")),
        Kind::Choice(_) if name == "database" && text == "cassandra" => Some(
            "Cassandra as a datastore for Kong is not supported in versions 3.4 and above. Please use Postgres."
                .to_owned(),
        ),
        Kind::Choice(choices) => (!choices.contains(&text))
            .then(|| format!("{name} has an invalid value: '{shown}' ({})", choices.join(", "))),
    }
}

/// `on`, `true`, `yes` and their opposites.
pub(crate) fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        _ => None,
    }
}

fn parse_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    text.parse().ok().filter(|n: &f64| plain && n.is_finite())
}

fn parse_list(text: &str) -> Vec<String> {
    text.split(',').map(|element| element.trim().to_owned()).collect()
}

fn typed(kind: Kind, text: &str) -> Typed {
    let as_text = || Typed::Text(text.to_owned());
    match kind {
        Kind::Flag => parse_flag(text).map_or_else(as_text, Typed::Flag),
        Kind::Number => parse_number(text).map_or_else(as_text, Typed::Number),
        Kind::List => Typed::List(parse_list(text)),
        Kind::Text | Kind::Size | Kind::Time | Kind::Choice(_) => as_text(),
    }
}

impl From<Typed> for serde_json::Value {
    /// Whole numbers become integers, as the Admin API shows them.
    fn from(value: Typed) -> Self {
        match value {
            Typed::Text(text) => text.into(),
            Typed::Flag(on) => on.into(),
            #[allow(clippy::cast_possible_truncation)]
            Typed::Number(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => (number as i64).into(),
            Typed::Number(number) => number.into(),
            Typed::List(elements) => elements.into(),
        }
    }
}
