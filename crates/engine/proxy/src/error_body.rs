//! Bodies of the gateway's own errors: default messages, templates and the choice among them.
//!
//! Two ways lead here, as in Kong: an error of the core falls back from Accept to the request's
//! Content-Type to `error_default_type`; an error of a plugin or the router looks at Accept alone and
//! defaults to JSON.

use std::borrow::Cow;

/// Form of an error body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Json,
    Plain,
    Html,
    Xml,
    /// No body; status and message go into headers.
    Grpc,
}

impl Form {
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Form::Json => "application/json; charset=utf-8",
            Form::Plain => "text/plain; charset=utf-8",
            Form::Html => "text/html; charset=utf-8",
            Form::Xml => "application/xml; charset=utf-8",
            Form::Grpc => "application/grpc",
        }
    }

    /// The form for one media range; `None` for one that names none of ours.
    #[must_use]
    pub fn of_media_type(media: &str) -> Option<Form> {
        // Case counts, as in Kong: `APPLICATION/XML` is a type that we do not have.
        let is = |name: &str| media == name;
        if is("application/json") || is("application/*") || is("*/*") {
            Some(Form::Json)
        } else if is("text/plain") || is("text/*") {
            Some(Form::Plain)
        } else if is("text/html") {
            Some(Form::Html)
        } else if is("application/xml") {
            Some(Form::Xml)
        } else if media.starts_with("application/grpc") {
            Some(Form::Grpc)
        } else {
            None
        }
    }
}

/// The form that an Accept header asks for: the highest weight, the first on ties, JSON for types
/// that we do not have.
#[must_use]
pub fn negotiate(accept: &str) -> Form {
    let mut best: Option<(f32, &str)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';');
        let media = parts.next().unwrap_or_default().trim();
        let weight = parts.find_map(|p| p.trim().strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
        if !media.is_empty() && best.is_none_or(|(w, _)| weight > w) {
            best = Some((weight, media));
        }
    }
    best.and_then(|(_, media)| Form::of_media_type(media)).unwrap_or(Form::Json)
}

/// Templates in force; each holds two `%s`, message and request id.
#[derive(Clone, Debug)]
pub struct Templates {
    pub json: Cow<'static, str>,
    pub plain: Cow<'static, str>,
    pub html: Cow<'static, str>,
    pub xml: Cow<'static, str>,
}

impl Default for Templates {
    fn default() -> Self {
        Templates {
            json: Cow::Borrowed("{\n  \"message\":\"%s\",\n  \"request_id\":\"%s\"\n}"),
            plain: Cow::Borrowed("%s\nrequest_id: %s\n"),
            html: Cow::Borrowed(concat!(
                "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n",
                "  <body>\n    <h1>Error</h1>\n    <p>%s.</p>\n    <p>request_id: %s</p>\n  </body>\n</html>\n"
            )),
            xml: Cow::Borrowed(concat!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>%s</message>\n",
                "  <requestid>%s</requestid>\n</error>\n"
            )),
        }
    }
}

impl Templates {
    /// The body for a message; empty for gRPC.
    #[must_use]
    pub fn render(&self, form: Form, message: &str, request_id: &str) -> String {
        let template = match form {
            Form::Json => &self.json,
            Form::Plain => &self.plain,
            Form::Html => &self.html,
            Form::Xml => &self.xml,
            Form::Grpc => return String::new(),
        };
        let mut out = String::with_capacity(template.len() + message.len() + request_id.len());
        let mut values = [message, request_id].into_iter();
        let mut rest: &str = template;
        while let Some((before, after)) = rest.split_once("%s") {
            out.push_str(before);
            out.push_str(values.next().unwrap_or_default());
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// nginx's own page, for the few answers that Kong leaves to it; `message` stands below the heading.
#[must_use]
pub fn nginx_page(status: u16, message: Option<&str>) -> String {
    // nginx's page says "Found" where its status line says "Moved Temporarily".
    let phrase = if status == 302 { "Found" } else { gibbon_message::reason(status) };
    let title = message.unwrap_or(phrase);
    let below = message.map(|m| format!("<center>{m}</center>\r\n")).unwrap_or_default();
    format!(
        "<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n<center><h1>{status} {phrase}</h1></center>\r\n{below}</body>\r\n</html>\r\n"
    )
}

/// The core's message for a status it raised itself.
#[must_use]
pub fn core_message(status: u16) -> Cow<'static, str> {
    Cow::Borrowed(match status {
        400 | 494 => {
            return Cow::Borrowed(if status == 494 { "Request header or cookie too large" } else { "Bad request" });
        }
        404 => "Not found",
        405 => "Method not allowed",
        408 => "Request timeout",
        411 => "Length required",
        412 => "Precondition failed",
        413 => "Payload too large",
        414 => "URI too long",
        417 => "Expectation failed",
        500 => "An unexpected error occurred",
        502 => "An invalid response was received from the upstream server",
        503 => "The upstream server is currently unavailable",
        504 => "The upstream server is timing out",
        other => return Cow::Owned(format!("The upstream server responded with {other}")),
    })
}

/// The default message of `kong.response.error` for a status.
#[must_use]
pub fn default_message(status: u16) -> Cow<'static, str> {
    Cow::Borrowed(match status {
        401 => "Unauthorized",
        402 => "Payment required",
        403 => "Forbidden",
        406 => "Not acceptable",
        407 => "Proxy authentication required",
        409 => "Conflict",
        410 => "Gone",
        415 => "Unsupported media type",
        416 => "Range not satisfiable",
        418 => "I'm a teapot",
        421 => "Misdirected request",
        422 => "Unprocessable entity",
        423 => "Locked",
        424 => "Failed dependency",
        425 => "Too early",
        426 => "Upgrade required",
        428 => "Precondition required",
        429 => "Too many requests",
        431 => "Request header fields too large",
        451 => "Unavailable for legal reasons",
        501 => "Not implemented",
        505 => "HTTP version not supported",
        506 => "Variant also negotiates",
        507 => "Insufficient storage",
        508 => "Loop detected",
        510 => "Not extended",
        511 => "Network authentication required",
        other => return core_message(other),
    })
}

/// The gRPC status that stands for an HTTP status.
#[must_use]
pub fn grpc_status(status: u16) -> u16 {
    match status {
        200 => 0,
        400 => 3,
        401 => 16,
        403 => 7,
        404 => 5,
        409 => 6,
        429 => 8,
        499 => 1,
        501 => 12,
        503 => 14,
        504 => 4,
        402 | 405..=428 | 430..=498 => 3,
        _ => 13,
    }
}

/// The name of a gRPC status, in place of a message.
#[must_use]
pub fn grpc_status_name(code: u16) -> &'static str {
    match code {
        0 => "OK",
        1 => "Canceled",
        3 => "InvalidArgument",
        4 => "DeadlineExceeded",
        5 => "NotFound",
        6 => "AlreadyExists",
        7 => "PermissionDenied",
        8 => "ResourceExhausted",
        12 => "Unimplemented",
        14 => "Unavailable",
        16 => "Unauthenticated",
        _ => "Internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_weight_wins_and_the_first_on_ties() {
        assert_eq!(negotiate("text/html;q=0.1, application/json;q=0.9"), Form::Json);
        assert_eq!(negotiate("application/xml;q=0.5, text/plain;q=0.5"), Form::Xml);
        assert_eq!(negotiate("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Form::Html);
    }

    #[test]
    fn unknown_and_empty_types_give_json() {
        for accept in ["image/png", "text/xml", "", "*/*", "application/*", "APPLICATION/XML"] {
            assert_eq!(negotiate(accept), Form::Json, "{accept}");
        }
        assert_eq!(negotiate("text/*"), Form::Plain);
        assert_eq!(negotiate("application/grpc+proto"), Form::Grpc);
    }

    #[test]
    fn the_json_body_has_kongs_white_space() {
        let body = Templates::default().render(Form::Json, "no Route matched with those values", "0123");
        assert_eq!(body, "{\n  \"message\":\"no Route matched with those values\",\n  \"request_id\":\"0123\"\n}");
    }

    #[test]
    fn a_message_that_holds_a_placeholder_is_not_expanded() {
        assert_eq!(Templates::default().render(Form::Plain, "%s", "id"), "%s\nrequest_id: id\n");
    }
}
