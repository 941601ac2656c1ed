//! Configured texts with a place for something of the request: `$(headers.x)`, `$(query_params.x)`,
//! `$(uri_captures.x)`.

use gibbon_message::uri;
use gibbon_pdk::Exchange;

/// A text, perhaps with places to fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place { source: String, key: String },
}

impl Template {
    /// Reads a text. What looks like a place but is none is text.
    pub fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("$(") {
            let Some((place, behind)) = after.split_once(')') else { break };
            let Some((source, key)) = place.split_once('.') else { break };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Place { source: source.to_owned(), key: key.to_owned() });
            rest = behind;
        }
        if !rest.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Template(pieces)
    }

    /// Whether there is a place at all.
    pub fn has_places(text: &str) -> bool {
        !matches!(Template::parse(text).0.as_slice(), [Piece::Text(_)])
    }

    /// The text for a request.
    ///
    /// # Errors
    /// For the client: what is missing, or which source does not exist.
    pub fn fill(&self, x: &Exchange) -> Result<String, String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Place { source, key } => out.push_str(&value(x, source, key)?),
            }
        }
        Ok(out)
    }
}

fn value(x: &Exchange, source: &str, key: &str) -> Result<String, String> {
    let found = match source {
        "headers" => x.request.headers.get_str(key).map(str::to_owned),
        "uri_captures" => x.captures.iter().find(|(name, _)| **name == *key).map(|(_, value)| value.to_string()),
        "query_params" => x.request.query().and_then(|query| {
            let found = uri::arguments(query).find(|(name, _)| **name == *key.as_bytes());
            found.and_then(|(_, value)| Some(String::from_utf8_lossy(&value?).into_owned()))
        }),
        other => return Err(format!("source '{other}' is not supported")),
    };
    found.ok_or_else(|| format!("{source} key {key} was not provided"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let mut x = gibbon_rig::request("POST /a?q=1", &[("X-Model", "gpt")]);
        x.captures.push(("model".into(), "claude".into()));
        Template::parse(text).fill(&x)
    }

    #[test]
    fn places_are_filled_from_the_request() {
        assert_eq!(filled("m").unwrap(), "m");
        assert_eq!(filled("$(headers.x-model)-$(uri_captures.model)/$(query_params.q)").unwrap(), "gpt-claude/1");
        assert_eq!(filled("$(headers.y)").unwrap_err(), "headers key y was not provided");
        assert_eq!(filled("$(body.y)").unwrap_err(), "source 'body' is not supported");
        assert_eq!(filled("a $(b").unwrap(), "a $(b");
    }
}
