//! What the builders of the concerns share: values, directives, the machine, and a place for faults and notices.

use std::time::Duration;

use crate::Surroundings;
use crate::inject::Injected;
use crate::origin::{Fault, Notice};
use crate::settings::material::Material;
use crate::units::{parse_size, parse_time};
use crate::values::Values;

pub(crate) struct Builder<'a> {
    pub values: &'a Values,
    pub injected: &'a Injected,
    pub surroundings: &'a dyn Surroundings,
    pub notices: &'a mut Vec<Notice>,
    pub faults: &'a mut Vec<Fault>,
}

impl Builder<'_> {
    /// Records a fault of a setting.
    pub fn fault(&mut self, setting: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(message).at(&self.values.origin(setting)));
    }

    /// Value of a directive in the nearest of several contexts.
    pub fn directive(&self, contexts: &[&str], name: &str) -> Option<&str> {
        self.injected.nearest(contexts, name).map(|directive| directive.value.as_str())
    }

    pub fn directive_size(&self, contexts: &[&str], name: &str, default: u64) -> u64 {
        self.directive(contexts, name).and_then(parse_size).unwrap_or(default)
    }

    pub fn directive_time(&self, contexts: &[&str], name: &str, default: Duration) -> Duration {
        self.directive(contexts, name).and_then(parse_time).unwrap_or(default)
    }

    /// Seconds of a numeric setting.
    pub fn seconds(&self, name: &str) -> Option<Duration> {
        self.values.number(name).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// Milliseconds of a numeric setting.
    pub fn milliseconds(&self, name: &str) -> Option<Duration> {
        self.values.whole::<u64>(name).map(Duration::from_millis)
    }

    /// A numeric setting that must be whole and lie in a range; out of it, a fault in Kong's words.
    pub fn ranged(&mut self, name: &str, range: std::ops::RangeInclusive<u32>, words: &str) -> Option<u32> {
        let number = self.values.number(name)?;
        let whole = self.values.whole::<u32>(name).filter(|whole| range.contains(whole));
        if whole.is_none() {
            let _ = number;
            self.fault(name, format!("{name} must be {words}"));
        }
        whole
    }

    /// Certificate material of a setting with one value.
    pub fn material(&mut self, name: &str, what: &str) -> Option<Material> {
        let text = self.values.text(name)?;
        match Material::parse(text, self.surroundings) {
            Some(material) => Some(material),
            None => {
                let message = format!("{name}: failed loading {what} from {}", Material::shown(text, name));
                self.fault(name, message);
                None
            }
        }
    }
}
