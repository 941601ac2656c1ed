//! Path templates of `google.api.http`: `/v1/{name=shelves/*}/books/{book}:read`.

use gibbon_message::uri;
use regex::Regex;

/// A template that is longer matches nothing a client could send.
const LONGEST: usize = 4096;

/// A compiled template. Matching takes time linear in the path, whatever template and path are.
#[derive(Debug)]
pub struct Template {
    expression: Regex,
    variables: Vec<Variable>,
}

#[derive(Debug)]
struct Variable {
    /// The dotted name of a field.
    name: String,
    /// It may hold several segments; an encoded slash in it stays encoded, so that it is not taken for a separator.
    several: bool,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Template, String> {
        if text.len() > LONGEST || !text.starts_with('/') {
            return Err(format!("path template \"{}\" must begin with /", text.get(..80).unwrap_or(text)));
        }
        let mut expression = String::from("^");
        let mut variables = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            wild(before, &mut expression);
            let (inside, after) =
                behind.split_once('}').ok_or_else(|| format!("path template \"{text}\" lacks a closing brace"))?;
            let (name, segments) = inside.split_once('=').unwrap_or((inside, "*"));
            if name.is_empty() || inside.contains('{') {
                return Err(format!("path template \"{text}\" has a variable without a name"));
            }
            expression.push('(');
            wild(segments, &mut expression);
            expression.push(')');
            variables.push(Variable { name: name.to_owned(), several: segments.contains('/') || segments == "**" });
            rest = after;
        }
        wild(rest, &mut expression);
        expression.push('$');
        let expression = Regex::new(&expression).map_err(|error| error.to_string())?;
        Ok(Template { expression, variables })
    }

    /// The variables' values, if the path is one of this template.
    pub fn matches(&self, path: &str) -> Option<Vec<(&str, String)>> {
        let captures = self.expression.captures(path)?;
        let values = captures.iter().skip(1).zip(&self.variables);
        Some(values.map(|(value, of)| (of.name.as_str(), of.decode(value.map_or("", |v| v.as_str())))).collect())
    }
}

impl Variable {
    fn decode(&self, value: &str) -> String {
        let plain = |text: &str| String::from_utf8_lossy(&uri::decode(text.as_bytes(), false)).into_owned();
        if !self.several {
            return plain(value);
        }
        let upper = value.replace("%2f", "%2F");
        upper.split("%2F").map(plain).collect::<Vec<_>>().join("%2F")
    }
}

/// Literal text, in which `*` stands for a segment and `**` for any number of them.
fn wild(text: &str, expression: &mut String) {
    for (number, part) in text.split("**").enumerate() {
        if number > 0 {
            expression.push_str(".+");
        }
        for (number, literal) in part.split('*').enumerate() {
            if number > 0 {
                expression.push_str("[^/]+");
            }
            expression.push_str(&regex::escape(literal));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn matched(template: &str, path: &str) -> Option<Vec<String>> {
        let template = Template::parse(template).unwrap();
        let values = template.matches(path)?;
        Some(values.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn variables_take_segments_and_literals_stand_for_themselves() {
        assert_eq!(matched("/v1/{name}", "/v1/a%20b").unwrap(), ["name=a b"]);
        assert_eq!(matched("/v1/{name}", "/v1/a/b"), None);
        assert_eq!(
            matched("/v1/{name=shelves/*}/b/{id.x}", "/v1/shelves/7/b/9").unwrap(),
            ["name=shelves/7", "id.x=9"]
        );
        assert_eq!(matched("/v1/{rest=**}", "/v1/a/b%2Fc%20d").unwrap(), ["rest=a/b%2Fc d"]);
        assert_eq!(matched("/v1/*/x", "/v1/anything/x").unwrap(), [""; 0]);
        assert_eq!(matched("/v1/{name}:read", "/v1/n:read").unwrap(), ["name=n"]);
        assert_eq!(matched("/v1.0/a", "/v1x0/a"), None);
        assert_eq!(matched("/v1/{name}", "/v1/"), None);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for wrong in ["", "v1", "/v1/{", "/v1/{=*}", "/{a{b}}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
