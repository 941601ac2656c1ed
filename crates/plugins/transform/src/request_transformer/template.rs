//! Values with `$(…)` in them. What stands between the brackets is an expression of Lua over `headers`, `query_params`,
//! `uri_captures` and `shared`. The usual ones, look-ups with literal fall-backs (`$(headers.x or "none")`), are done
//! here; the Lua host computes the others.

use std::sync::Arc;

use gibbon_message::uri;
use gibbon_pdk::{Exchange, Expression, Host, Scripting};

/// A text with places to fill in.
pub struct Template {
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    /// The first alternative that has a value.
    Look(Vec<Look>),
    Lua(Arc<dyn Expression>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    Header(String),
    Query(String),
    Capture(String),
    Literal(String),
}

/// A template that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("value '{text}' is not in supported format: {cause}")]
pub struct TemplateError {
    text: String,
    cause: String,
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Expression(&'a str),
}

/// Checks that every `$(` is closed.
///
/// # Errors
/// It is not.
pub fn check(text: &str) -> Result<(), TemplateError> {
    pieces(text).map(drop)
}

/// Takes a text apart. An expression ends where its brackets are even, as in Kong's templates.
fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        if !before.is_empty() {
            found.push(Piece::Text(before));
        }
        let mut open = 1;
        let end = after.bytes().position(|byte| {
            open += i32::from(byte == b'(') - i32::from(byte == b')');
            open == 0
        });
        let unclosed = || TemplateError { text: text.to_owned(), cause: "'$(' without ')'".to_owned() };
        let (expression, behind) = end.and_then(|end| after.split_at_checked(end)).ok_or_else(unclosed)?;
        found.push(Piece::Expression(expression));
        rest = behind.get(1..).unwrap_or_default();
    }
    if !rest.is_empty() {
        found.push(Piece::Text(rest));
    }
    Ok(found)
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// An expression that is not closed or does not parse.
    pub fn compile(text: &str, scripting: &dyn Scripting) -> Result<Template, TemplateError> {
        let part = |piece| match piece {
            Piece::Text(text) => Ok(Part::Text(text.to_owned())),
            Piece::Expression(source) => {
                expression(source, scripting).map_err(|cause| TemplateError { text: text.to_owned(), cause })
            }
        };
        Ok(Template { parts: pieces(text)?.into_iter().map(part).collect::<Result<_, _>>()? })
    }

    /// The text for a request; `None` if it came out empty.
    ///
    /// # Errors
    /// What an expression raised.
    pub fn render(&self, x: &mut Exchange, host: &Host) -> Result<Option<String>, String> {
        self.fill(x, host, |value| value)
    }

    /// As [`render`](Self::render), for a path: what is looked up stays inside it, and begins neither query nor fragment.
    ///
    /// # Errors
    /// What an expression raised.
    pub fn render_path(&self, x: &mut Exchange, host: &Host) -> Result<Option<String>, String> {
        self.fill(x, host, |value| value.replace('?', "%3F").replace('#', "%23"))
    }

    fn fill(&self, x: &mut Exchange, host: &Host, write: impl Fn(String) -> String) -> Result<Option<String>, String> {
        let mut out = String::new();
        for part in &self.parts {
            let value = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Look(looks) => looks.iter().find_map(|look| look.value(x)),
                Part::Lua(expression) => expression.value(x, host)?,
            };
            if let Some(value) = value {
                out.push_str(&write(value));
            }
        }
        Ok((!out.is_empty()).then_some(out))
    }
}

/// Where Lua in configurations is switched off, look-ups are too: what fails is the request, as in Kong.
fn expression(source: &str, scripting: &dyn Scripting) -> Result<Part, String> {
    let looks: Option<Vec<Look>> = source.split(" or ").map(|alternative| look(alternative.trim())).collect();
    match looks.filter(|_| scripting.is_allowed()) {
        Some(looks) => Ok(Part::Look(looks)),
        None => scripting.expression(source).map(Part::Lua),
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
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use gibbon_pdk::NoScripting;

    use super::*;

    fn rendered(text: &str) -> Option<String> {
        let mut x = Exchange::default();
        x.request.target = b"/a?user=bob&flag".to_vec();
        x.request.headers.append("X-Id", "7");
        x.captures.push(("name".into(), "n".into()));
        x.captures.push(("1".into(), "one".into()));
        Template::compile(text, &NoScripting).unwrap().render(&mut x, &gibbon_rig::Rig::new().host).unwrap()
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
        let template = Template::compile("/u/$(headers.x_id)?fixed=1", &NoScripting).unwrap();
        let path = template.render_path(&mut x, &gibbon_rig::Rig::new().host).unwrap();
        assert_eq!(path.as_deref(), Some("/u/a%3Fadmin=1%23f?fixed=1"));
    }

    #[test]
    fn an_alternative_stands_in_for_what_is_missing() {
        assert_eq!(rendered("$(headers['x-none'] or 'none')").as_deref(), Some("none"));
        assert_eq!(rendered("$(headers.none)"), None);
    }

    #[test]
    fn an_expression_ends_where_its_brackets_are_even() {
        use Piece::{Expression, Text};
        let text = "a-$(headers.x:sub(1, (2)))-b$(1)";
        let expected = [Text("a-"), Expression("headers.x:sub(1, (2))"), Text("-b"), Expression("1")];
        assert_eq!(pieces(text).unwrap(), expected);
        assert!(check("$(headers.x").is_err() && check("$((1)").is_err() && check("$ (").is_ok());
    }

    #[test]
    fn more_than_a_look_up_is_asked_of_lua() {
        for text in ["$(os.execute('x'))", "$(1 + 1)", "$(headers)", "$(shared.x)"] {
            let refused = Template::compile(text, &NoScripting).err().unwrap();
            assert!(refused.to_string().contains("there is no Lua here"), "{refused}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_taken_apart_whole(text in "[$()ä.a ]{0,40}") {
            if let Ok(pieces) = pieces(&text) {
                let whole: String = pieces.iter().map(|piece| match piece {
                    Piece::Text(text) => (*text).to_owned(),
                    Piece::Expression(source) => format!("$({source})"),
                }).collect();
                proptest::prop_assert_eq!(whole, text);
            }
        }
    }
}
