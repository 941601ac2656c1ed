//! Header filter and body filter. A JSON body is held back until it is whole; every other one passes.

use gibbon_message::Headers;
use gibbon_pdk::{BodyChunk, Exchange, Handler, Host, Phase, Phases};

use super::config::Config;
use super::json::Changes;
use crate::pair;

/// Largest body that is held back; a larger one passes unchanged from there on.
const LARGEST: usize = 64 << 20;

/// One configuration.
pub struct Transformer {
    remove: Vec<(String, Option<String>)>,
    rename: Vec<(String, String)>,
    replace: Vec<(String, String)>,
    add: Vec<(String, String)>,
    append: Vec<(String, String)>,
    json: Changes,
}

/// The body held back so far.
#[derive(Default)]
struct Held(Vec<u8>);

impl Transformer {
    pub fn new(c: &Config) -> Self {
        let pairs =
            |list: &[String]| list.iter().map(|p| pair::split(p)).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        let remove = c.remove.headers.iter().map(|p| {
            let (name, value) = pair::split(p);
            (name.to_owned(), (!value.is_empty()).then(|| value.to_owned()))
        });
        Transformer {
            remove: remove.collect(),
            rename: pairs(&c.rename.headers),
            replace: pairs(&c.replace.headers),
            add: pairs(&c.add.headers),
            append: pairs(&c.append.headers),
            json: Changes::new(c),
        }
    }

    fn change_headers(&self, headers: &mut Headers) {
        // As in Kong, `name:value` removes the header whatever its value.
        for (name, _) in &self.remove {
            headers.remove(name);
        }
        for (old, new) in &self.rename {
            let values: Vec<Vec<u8>> = headers.get_all(old).map(<[u8]>::to_vec).collect();
            if !values.is_empty() {
                headers.remove(old);
                headers.set_all(new, values);
            }
        }
        for (name, value) in &self.replace {
            if headers.contains(name) {
                headers.set(name, value);
            }
        }
        for (name, value) in &self.add {
            if !headers.contains(name) {
                headers.append(name, value);
            }
        }
        for (name, value) in &self.append {
            headers.append(name, value);
        }
    }
}

/// Whether an answer is JSON by its Content-Type.
fn is_json(headers: &Headers) -> bool {
    let is_json =
        |one: &str| one.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"));
    headers.get_str("content-type").is_some_and(|value| value.split(',').any(is_json))
}

impl Handler for Transformer {
    /// Without changes to JSON the body is nobody's business.
    fn idle_phases(&self) -> Phases {
        if self.json.is_empty() { Phases::of(&[Phase::BodyFilter]) } else { Phases::NONE }
    }

    fn header_filter(&self, x: &mut Exchange, _host: &Host) {
        self.change_headers(&mut x.response.headers);
        if !self.json.is_empty() && is_json(&x.response.headers) {
            x.response.headers.remove("content-length");
            x.slots.set(Held::default());
        }
    }

    fn body_filter(&self, x: &mut Exchange, chunk: &mut BodyChunk, _host: &Host) {
        let Some(held) = x.slots.get_mut::<Held>() else { return };
        held.0.append(&mut chunk.data);
        if held.0.len() > LARGEST {
            tracing::warn!(request_id = %x.id, "response-transformer: the body is larger than {LARGEST} bytes and passes unchanged");
        } else if !chunk.last {
            return;
        }
        let Some(Held(body)) = x.slots.take() else { return };
        chunk.data = match chunk.last.then(|| self.json.apply(&body)) {
            Some(Some(changed)) => changed,
            Some(None) => {
                tracing::warn!(request_id = %x.id, "response-transformer: the body is no JSON object and passes unchanged");
                body
            }
            None => body,
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use gibbon_schema::Schema;
    use serde_json::json;

    fn transformer(config: serde_json::Value) -> Transformer {
        let none = json!({"json": [], "json_types": [], "headers": []});
        let mut whole = json!({"remove": none, "rename": none, "replace": none, "add": none, "append": none});
        for (name, record) in config.as_object().unwrap() {
            for (field, value) in record.as_object().unwrap() {
                *whole.pointer_mut(&format!("/{name}/{field}")).unwrap() = value.clone();
            }
        }
        Transformer::new(&Config::from_value(&whole).unwrap())
    }

    #[test]
    fn headers_change_in_kongs_order() {
        let rules = transformer(json!({
            "remove": {"headers": ["X-Remove"]}, "rename": {"headers": ["X-Old:X-New"]},
            "replace": {"headers": ["X-Rep:new", "X-None:new"]}, "add": {"headers": ["X-Add:1", "X-Have:2"]}, "append": {"headers": ["X-App:2"]}
        }));
        let mut headers = Headers::new();
        for (name, value) in [("X-Remove", "1"), ("X-Old", "2"), ("X-Rep", "3"), ("X-Have", "4"), ("X-App", "5")] {
            headers.append(name, value);
        }
        rules.change_headers(&mut headers);
        assert!(!headers.contains("x-remove") && !headers.contains("x-old") && !headers.contains("x-none"));
        assert_eq!(headers.get_str("x-new"), Some("2"));
        assert_eq!(headers.get_str("x-rep"), Some("new"));
        assert_eq!(headers.get_str("x-have"), Some("4"));
        assert_eq!(headers.get_all("x-app").count(), 2);
    }

    #[test]
    fn only_json_itself_is_changed() {
        let of = |content_type: &str| {
            let mut headers = Headers::new();
            headers.append("Content-Type", content_type);
            is_json(&headers)
        };
        assert!(of("application/json") && of("Application/JSON; charset=utf-8") && of("text/plain, application/json"));
        assert!(!of("application/json-patch+json") && !of("application/jsonp") && !of("text/json"));
    }

    #[test]
    fn json_values_get_their_types() {
        let rules = transformer(json!({
            "add": {"json": ["n:1", "b:true", "s:x"], "json_types": ["number", "boolean", "string"]}, "append": {"json": ["l:2"]}
        }));
        let after: serde_json::Value = serde_json::from_slice(&rules.json.apply(br#"{"l":1}"#).unwrap()).unwrap();
        assert_eq!(after, json!({"l": [1, "2"], "n": 1, "b": true, "s": "x"}));
        assert_eq!(rules.json.apply(b"no json"), None);
    }
}
