//! The text format of Prometheus, and who has figures to show in it.

use std::fmt::Write;

use serde_json::Value;

/// Kinds of families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
}

impl FamilyKind {
    fn as_str(self) -> &'static str {
        match self {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        }
    }
}

/// A text under construction. Samples of one family follow its head.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// The head of a family.
    pub fn family(&mut self, name: &str, help: &str, kind: FamilyKind) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.as_str());
    }

    /// A sample; whole numbers are written without a fraction.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        self.labels(labels);
        self.text.push(' ');
        self.number(value);
        self.text.push('\n');
    }

    /// A sample whose labels are text already, without braces, as [`escape_label`] allows to make them.
    pub fn sample_with(&mut self, name: &str, labels: &str, value: f64) {
        self.text.push_str(name);
        if !labels.is_empty() {
            let _ = write!(self.text, "{{{labels}}}");
        }
        self.text.push(' ');
        self.number(value);
        self.text.push('\n');
    }

    fn labels(&mut self, labels: &[(&str, &str)]) {
        for (at, (name, value)) in labels.iter().enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape_label(&mut self.text, value);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
    }

    fn number(&mut self, value: f64) {
        let _ = if value.is_infinite() {
            write!(self.text, "{}Inf", if value > 0.0 { '+' } else { '-' })
        } else {
            write!(self.text, "{value}")
        };
    }

    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Appends a label's value: backslash, quote and line feed are escaped.
pub fn escape_label(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// Who has figures to show at `/metrics` besides the node's own.
pub trait Exporter: Send + Sync {
    /// Writes whole families; `engine` is [`Metrics::engine_snapshot`](crate::Metrics::engine_snapshot).
    fn export(&self, out: &mut Exposition, engine: &Value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_the_text_format() {
        let mut out = Exposition::default();
        out.family("a_total", "Number of a", FamilyKind::Counter);
        out.sample("a_total", &[], 3.0);
        out.sample("a_total", &[("x", "q\"\\\n"), ("y", "")], 0.5);
        out.sample_with("a_total", "le=\"+Inf\"", f64::INFINITY);
        assert_eq!(
            out.into_text(),
            "# HELP a_total Number of a\n# TYPE a_total counter\na_total 3\n\
             a_total{x=\"q\\\"\\\\\\n\",y=\"\"} 0.5\na_total{le=\"+Inf\"} +Inf\n"
        );
    }
}
