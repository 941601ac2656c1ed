//! The access phase. Everything is parsed once; per request only the values are filled in.

use bytes::Bytes;
use gibbon_message::{Headers, Method};
use gibbon_pdk::{BuildError, Exchange, Fault, Flow, Handler, Host, RequestBody, Scripting, Step};

use super::body::{self, Changes};
use super::config::Config;
use super::query::Arguments;
use super::template::Template;
use crate::{body as whole, pair};

/// A body that lies in a file is changed up to this size, in memory; a larger one passes unchanged.
const LARGEST: u64 = 16 << 20;

/// A value per name, to be filled in per request.
type Values = Vec<(String, Template)>;

/// The changes of one part of a request.
#[derive(Default)]
struct Rules {
    remove: Vec<String>,
    rename: Vec<(String, String)>,
    replace: Values,
    add: Values,
    append: Values,
}

impl Rules {
    fn new(
        remove: Vec<String>,
        rename: &[String],
        replace: &[String],
        add: &[String],
        append: &[String],
        scripting: &dyn Scripting,
    ) -> Result<Self, BuildError> {
        let values = |pairs: &[String]| values(pairs, scripting);
        let renames = rename.iter().map(|p| pair::split(p)).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        Ok(Rules { remove, rename: renames, replace: values(replace)?, add: values(add)?, append: values(append)? })
    }

    fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.replace.is_empty()
            && self.add.is_empty()
            && self.append.is_empty()
    }

    fn fill(&self, x: &mut Exchange, host: &Host) -> Result<Changes, String> {
        let mut fill = |values: &Values| {
            let filled = values.iter().map(|(name, template)| Ok((name.clone(), template.render(x, host)?)));
            let filled = filled.filter_map(|pair: Result<_, String>| match pair {
                Ok((name, value)) => value.map(|value| Ok((name, value))),
                Err(error) => Some(Err(error)),
            });
            filled.collect::<Result<Vec<_>, _>>()
        };
        Ok(Changes {
            remove: self.remove.clone(),
            rename: self.rename.clone(),
            replace: fill(&self.replace)?,
            add: fill(&self.add)?,
            append: fill(&self.append)?,
        })
    }
}

fn values(pairs: &[String], scripting: &dyn Scripting) -> Result<Values, BuildError> {
    let compiled = |(name, value): (&str, &str)| Ok((name.to_owned(), template(value, scripting)?));
    pairs.iter().map(|p| pair::split(p)).map(compiled).collect()
}

fn template(text: &str, scripting: &dyn Scripting) -> Result<Template, BuildError> {
    Template::compile(text, scripting)
        .map_err(|e| BuildError { plugin: "request-transformer".into(), cause: e.to_string() })
}

/// One configuration.
pub struct Transformer {
    uri: Option<Template>,
    method: Option<Method>,
    headers: Rules,
    body: Rules,
    query: Rules,
}

impl Transformer {
    pub fn new(c: Config, scripting: &dyn Scripting) -> Result<Self, BuildError> {
        Ok(Transformer {
            uri: c.replace.uri.as_deref().map(|text| template(text, scripting)).transpose()?,
            method: c.http_method.as_deref().and_then(|m| Method::parse(m.as_bytes())),
            headers: Rules::new(
                c.remove.headers,
                &c.rename.headers,
                &c.replace.headers,
                &c.add.headers,
                &c.append.headers,
                scripting,
            )?,
            body: Rules::new(c.remove.body, &c.rename.body, &c.replace.body, &c.add.body, &c.append.body, scripting)?,
            query: Rules::new(
                c.remove.querystring,
                &c.rename.querystring,
                &c.replace.querystring,
                &c.add.querystring,
                &c.append.querystring,
                scripting,
            )?,
        })
    }

    /// Bodies of a type that is understood are read; a request without any is left alone.
    fn wants_body(&self, x: &Exchange) -> bool {
        let of_type = |wanted: fn(&str) -> bool| x.media_type().is_some_and(|media| wanted(&media));
        x.body.is_unread()
            && ((!self.body.is_empty() && of_type(is_understood)) || (self.moves_form() && of_type(is_form)))
    }

    /// A method without a body moves a form's parameters into the query.
    fn moves_form(&self) -> bool {
        matches!(self.method, Some(Method::Get | Method::Head | Method::Trace))
    }

    /// A body that was too large for memory is taken back into it, so that it is changed like any other.
    async fn access_from_file(&self, x: &mut Exchange, host: &Host) -> Flow {
        match whole::whole(&x.body, host, LARGEST as usize).await {
            Ok(bytes) => x.body = RequestBody::Whole(bytes),
            Err(why) => return Fault::plugin(why).into(),
        }
        self.changed(x, host)
    }

    /// Whether the body lies in a file and is to be changed.
    fn is_in_file(&self, x: &Exchange) -> bool {
        let RequestBody::Spooled(file) = &x.body else { return false };
        if self.body.is_empty() && !self.moves_form() {
            return false;
        }
        if file.len > LARGEST {
            tracing::warn!(request_id = %x.id, "request-transformer: the body is larger than {LARGEST} bytes and passes unchanged");
        }
        file.len <= LARGEST
    }

    fn changed(&self, x: &mut Exchange, host: &Host) -> Flow {
        match self.change(x, host) {
            Ok(()) => Flow::Next,
            Err(error) => Fault::plugin(format!("request-transformer: {error}")).into(),
        }
    }

    fn change(&self, x: &mut Exchange, host: &Host) -> Result<(), String> {
        let path = self.uri.as_ref().map(|template| template.render_path(x, host)).transpose()?;
        if let Some(path) = path.flatten() {
            x.destination.path.clear();
            gibbon_message::uri::escape_into(&mut x.destination.path, path.as_bytes());
        }
        if let Some(method) = &self.method {
            self.change_method(x, method);
        }
        if !self.headers.is_empty() {
            self.change_headers(x, host)?;
        }
        if !self.body.is_empty() {
            self.change_body(x, host)?;
        }
        if !self.query.is_empty() {
            self.change_query(x, host)?;
        }
        Ok(())
    }

    fn change_headers(&self, x: &mut Exchange, host: &Host) -> Result<(), String> {
        let changes = self.headers.fill(x, host)?;
        let host = changes.replace.iter().find(|(n, _)| n.eq_ignore_ascii_case("host")).map(|(_, v)| v.clone());
        apply_to_headers(&mut x.request.headers, &changes);
        if let Some(host) = host {
            x.destination.host_header = Some(host.into_bytes());
        }
        Ok(())
    }

    fn change_body(&self, x: &mut Exchange, host: &Host) -> Result<(), String> {
        let content_type = x.request.headers.get_str("content-type").unwrap_or_default().to_owned();
        if x.body.bytes().is_none() {
            return Ok(());
        }
        let changes = self.body.fill(x, host)?;
        let after = x.body.bytes().and_then(|before| body::transform(&changes, &content_type, before));
        if let Some(after) = after {
            x.body = RequestBody::Whole(Bytes::from(after));
        }
        Ok(())
    }

    fn change_query(&self, x: &mut Exchange, host: &Host) -> Result<(), String> {
        let changes = self.query.fill(x, host)?;
        let mut all = Arguments::parse(x.query().unwrap_or_default());
        changes.apply_to_arguments(&mut all);
        x.destination.query = Some(all.encode(true));
        Ok(())
    }

    fn change_method(&self, x: &mut Exchange, method: &Method) {
        x.request.method = method.clone();
        if !self.moves_form() || !x.media_type().is_some_and(|media| is_form(&media)) {
            return;
        }
        let Some(form) = x.body.bytes().filter(|b| !b.is_empty()) else { return };
        let mut query = x.query().unwrap_or_default().to_vec();
        if !query.is_empty() {
            query.push(b'&');
        }
        query.extend_from_slice(form);
        x.destination.query = Some(Arguments::parse(&query).encode(true));
        x.body = RequestBody::Empty;
    }
}

fn is_form(media: &str) -> bool {
    media == "application/x-www-form-urlencoded"
}

fn is_understood(media: &str) -> bool {
    is_form(media) || matches!(media, "application/json" | "multipart/form-data")
}

/// `Host` is only ever replaced, and that is done where the request is forwarded.
fn apply_to_headers(headers: &mut Headers, changes: &Changes) {
    let is_host = |name: &str| name.eq_ignore_ascii_case("host");
    for name in changes.remove.iter().filter(|n| !is_host(n)) {
        headers.remove(name);
    }
    for (old, new) in changes.rename.iter().filter(|(o, n)| !is_host(o) && !is_host(n)) {
        let values: Vec<Vec<u8>> = headers.get_all(old).map(<[u8]>::to_vec).collect();
        if !values.is_empty() {
            headers.remove(old);
            headers.set_all(new, values);
        }
    }
    for (name, value) in changes.replace.iter().filter(|(n, _)| !is_host(n)) {
        if headers.contains(name) {
            headers.set(name, value);
        }
    }
    for (name, value) in changes.add.iter().filter(|(n, _)| !is_host(n)) {
        if !headers.contains(name) {
            headers.append(name, value);
        }
    }
    for (name, value) in changes.append.iter().filter(|(n, _)| !is_host(n)) {
        headers.append(name, value);
    }
}

impl Handler for Transformer {
    fn access<'a>(&'a self, x: &'a mut Exchange, host: &'a Host) -> Step<'a> {
        if self.wants_body(x) {
            return Step::Now(Flow::ReadBody);
        }
        if self.is_in_file(x) {
            return Step::Later(Box::pin(self.access_from_file(x, host)));
        }
        self.changed(x, host).into()
    }
}
