//! Values with `$(…)` in them: a look-up in the request's headers, query, path captures or in what earlier plugins
//! shared, with literal fall-backs (`$(headers.x or "none")`). Compiled once per configuration.
//!
//! Whole expressions of Lua need the Lua host; one that goes beyond look-ups is refused when the configuration is
//! read, so that no request fails for it.

use gibbon_message::uri;
use gibbon_pdk::Exchange;

/// A text with places to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The first alternative that has a value.
    Look(Vec<Look>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    Header(String),
    Query(String),
    Capture(String),
    Shared(String),
    Literal(String),
}

/// A template that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("value '{text}' is not in supported format: {cause}")]
pub struct TemplateError {
    text: String,
    cause: &'static str,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// An expression that is not closed, or is more than a look-up.
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        let failed = |cause| TemplateError { text: text.to_owned(), cause };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("$(") {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (expression, behind) = after.split_once(')').ok_or_else(|| failed("'$(' without ')'"))?;
            let looks: Option<Vec<Look>> = expression.split(" or ").map(|e| look(e.trim())).collect();
            parts.push(Part::Look(
                looks.ok_or_else(|| failed("only look-ups in headers, query_params, uri_captures and shared are"))?,
            ));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template { parts })
    }

    /// The text for a request; `None` if it came out empty.
    #[must_use]
    pub fn render(&self, x: &Exchange) -> Option<String> {
        self.fill(x, |value| value)
    }

    /// As [`render`](Self::render), for a path: what is looked up stays inside it, and begins neither query nor fragment.
    #[must_use]
    pub fn render_path(&self, x: &Exchange) -> Option<String> {
        self.fill(x, |value| value.replace('?', "%3F").replace('#', "%23"))
    }

    fn fill(&self, x: &Exchange, write: impl Fn(String) -> String) -> Option<String> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Look(looks) => {
                    if let Some(value) = looks.iter().find_map(|l| l.value(x)) {
                        out.push_str(&write(value));
                    }
                }
            }
        }
        (!out.is_empty()).then_some(out)
    }
}

/// `table.name`, `table["name"]`, `table['name']`, `table[1]` or a quoted literal.
fn look(expression: &str) -> Option<Look> {
    if let Some(literal) = unquote(expression) {
        return Some(Look::Literal(literal.to_owned()));
    }
    let at = expression.find(['.', '['])?;
    let (table, key) = expression.split_at(at);
    let name = match key.strip_prefix('.') {
        Some(name) => name,
        None => {
            let inside = key.strip_prefix('[')?.strip_suffix(']')?.trim();
            unquote(inside).or_else(|| inside.bytes().all(|b| b.is_ascii_digit()).then_some(inside))?
        }
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) {
        return None;
    }
    let name = name.to_owned();
    Some(match table {
        // As in Lua, `headers.x_y` means the header `x-y`.
        "headers" => Look::Header(name.replace('_', "-")),
        "query_params" => Look::Query(name),
        "uri_captures" => Look::Capture(name),
        "shared" => Look::Shared(name),
        _ => return None,
    })
}

fn unquote(text: &str) -> Option<&str> {
    ['"', '\''].into_iter().find_map(|q| text.strip_prefix(q)?.strip_suffix(q))
}

impl Look {
    fn value(&self, x: &Exchange) -> Option<String> {
        match self {
            Look::Literal(text) => Some(text.clone()),
            Look::Header(name) => x.request.headers.get(name).map(|v| String::from_utf8_lossy(v).into_owned()),
            Look::Query(name) => {
                let found = uri::arguments(x.query()?).find(|(n, _)| **n == *name.as_bytes())?.1;
                Some(found.map_or_else(|| "true".to_owned(), |v| String::from_utf8_lossy(&v).into_owned()))
            }
            Look::Capture(name) => x.captures.iter().find(|(n, _)| **n == **name).map(|(_, v)| v.to_string()),
            Look::Shared(name) => {
                let (_, value) = x.log_values.iter().rev().find(|(n, _)| **n == **name)?;
                Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Option<String> {
        let mut x = Exchange::default();
        x.request.target = b"/a?user=bob&flag".to_vec();
        x.request.headers.append("X-Id", "7");
        x.captures.push(("name".into(), "n".into()));
        x.captures.push(("1".into(), "one".into()));
        Template::parse(text).unwrap().render(&x)
    }

    #[test]
    fn look_ups_are_filled_in() {
        assert_eq!(rendered("<$(headers.x_id)-$(query_params.user)>").as_deref(), Some("<7-bob>"));
        assert_eq!(rendered("$(uri_captures['name'])$(uri_captures[1])").as_deref(), Some("none"));
        assert_eq!(rendered("$(query_params.flag)").as_deref(), Some("true"));
    }

    #[test]
    fn what_is_looked_up_stays_inside_a_path() {
        let mut x = Exchange::default();
        x.request.headers.append("X-Id", "a?admin=1#f");
        let template = Template::parse("/u/$(headers.x_id)?fixed=1").unwrap();
        assert_eq!(template.render_path(&x).as_deref(), Some("/u/a%3Fadmin=1%23f?fixed=1"));
    }

    #[test]
    fn an_alternative_stands_in_for_what_is_missing() {
        assert_eq!(rendered("$(headers['x-none'] or 'none')").as_deref(), Some("none"));
        assert_eq!(rendered("$(headers.none)"), None);
    }

    #[test]
    fn more_than_a_look_up_is_refused() {
        for text in ["$(os.execute('x'))", "$(headers.x", "$(1 + 1)", "$(headers)"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
