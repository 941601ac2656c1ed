//! Route types whose requests are passed on as they are: files, batches, assistants, speech, transcripts, images, videos.

use crate::*;
use gibbon_testkit::upstream::Request;

fn route(route_type: &str, provider: &str, at: &Upstream) -> Value {
    let mut target = target(provider, at, json!({}));
    target["route_type"] = json!(route_type);
    target["logging"] = json!({"log_statistics": true});
    target["model"]["options"]["upstream_url"] = json!(format!("http://{}/v1{}", at.address(), own_path(route_type)));
    ai_proxy("openai", target)
}

/// What OpenAI's path of a route type ends with.
fn own_path(route_type: &str) -> &'static str {
    match route_type {
        "llm/v1/files" => "/files",
        "llm/v1/batches" => "/batches",
        "llm/v1/assistants" => "/assistants",
        "llm/v1/responses" => "/responses",
        "audio/v1/audio/speech" => "/audio/speech",
        "audio/v1/audio/transcriptions" => "/audio/transcriptions",
        "audio/v1/audio/translations" => "/audio/translations",
        "image/v1/images/generations" => "/images/generations",
        "image/v1/images/edits" => "/images/edits",
        _ => "/videos",
    }
}

fn ask(rig: &Rig, method: &str, path: &str, media: &str, body: &[u8]) -> Response {
    let typed = if media.is_empty() { String::new() } else { format!("Content-Type: {media}\r\n") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: api.test\r\n{typed}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client::once(rig.proxy, [head.as_bytes(), body].concat()).unwrap()
}

fn form(model: Option<&str>, file: &[u8]) -> Vec<u8> {
    let field = model.map(|m| format!("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{m}\r\n"));
    let head =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n";
    [field.unwrap_or_default().as_bytes(), head.as_bytes(), file, b"\r\n--b--\r\n"].concat()
}

const FORM: &str = "multipart/form-data; boundary=b";

fn sent(up: &Upstream) -> Request {
    up.next_request().unwrap()
}

#[test]
fn every_route_type_reaches_its_place_and_is_proven_there() {
    let json = "application/json";
    let words = br#"{"input":"say it","voice":"alloy"}"#.as_slice();
    type Case = (&'static str, &'static str, &'static str, &'static str, &'static [u8], &'static str);
    let cases: [Case; 14] = [
        ("llm/v1/files", "POST", "/ai/files", FORM, b"", "/v1/files"),
        ("llm/v1/files", "GET", "/ai/files?limit=2", "", b"", "/v1/files?limit=2"),
        ("llm/v1/files", "GET", "/ai/files/file-1/content", "", b"", "/v1/files/file-1/content"),
        ("llm/v1/files", "DELETE", "/ai/files/file-1", "", b"", "/v1/files/file-1"),
        ("llm/v1/batches", "POST", "/batches", json, br#"{"input_file_id":"f"}"#, "/v1/batches"),
        ("llm/v1/batches", "POST", "/batches/b_1/cancel", "", b"", "/v1/batches/b_1/cancel"),
        ("llm/v1/assistants", "POST", "/v1/threads/t/runs", json, br#"{"assistant_id":"a"}"#, "/v1/threads/t/runs"),
        ("llm/v1/responses", "GET", "/v1/responses/resp_1", "", b"", "/v1/responses/resp_1"),
        ("llm/v1/responses", "DELETE", "/v1/responses/resp_1", "", b"", "/v1/responses/resp_1"),
        ("audio/v1/audio/speech", "POST", "/speak", json, words, "/v1/audio/speech"),
        ("audio/v1/audio/translations", "POST", "/x", FORM, b"", "/v1/audio/translations"),
        ("image/v1/images/generations", "POST", "/x", json, br#"{"prompt":"a cat"}"#, "/v1/images/generations"),
        ("image/v1/images/edits", "POST", "/x", FORM, b"", "/v1/images/edits"),
        ("video/v1/videos/generations", "GET", "/videos/v_1/content", "", b"", "/v1/videos/v_1/content"),
    ];
    for (route_type, method, path, media, body, expected) in cases {
        let up = provider(200, json, r#"{"id":"x"}"#);
        let rig = gateway(&route(route_type, "openai", &up));
        let upload = form(Some("m"), b"\x00\xffbytes");
        let body = if media == FORM { &upload } else { body };
        let answer = ask(&rig, method, path, media, body);
        assert_eq!((answer.status(), answer.text().as_str()), (200, r#"{"id":"x"}"#), "{route_type} {method} {path}");
        let sent = sent(&up);
        assert_eq!((sent.method.as_str(), sent.target.as_str()), (method, expected), "{route_type}");
        assert_eq!(sent.header("x-key"), Some("secret"), "{route_type}");
        if media == FORM {
            assert_eq!(sent.header("content-type"), Some(FORM), "{route_type}");
            assert_eq!(sent.body, upload, "{route_type}");
        }
    }
}

#[test]
fn the_configured_model_is_asked_in_json_and_in_forms() {
    let up = provider(200, "application/json", "{}");
    let images = gateway(&route("image/v1/images/generations", "openai", &up));
    ask(&images, "POST", "/x", "application/json", br#"{"prompt":"a cat"}"#);
    assert_eq!(sent(&up).body, br#"{"prompt":"a cat","model":"m"}"#);
    let other = ask(&images, "POST", "/x", "application/json", br#"{"model":"dear","prompt":"a cat"}"#);
    assert_eq!(other.status(), 400, "{}", other.text());
    assert!(other.text().contains("cannot use own model - must be: m"), "{}", other.text());

    let words = gateway(&route("audio/v1/audio/transcriptions", "openai", &up));
    ask(&words, "POST", "/x", FORM, &form(None, b"RIFF"));
    assert_eq!(
        sent(&up).body,
        [b"--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n", form(None, b"RIFF").as_slice()]
            .concat()
    );
    assert_eq!(ask(&words, "POST", "/x", FORM, &form(Some("dear"), b"RIFF")).status(), 400);
    let mismatch = ask(&words, "POST", "/x", "text/plain", b"model=dear");
    assert_eq!(mismatch.status(), 400, "{}", mismatch.text());
    assert!(up.requests().is_empty());
}

#[test]
fn uploads_and_answers_of_any_length_go_through() {
    let long = vec![0xAB_u8; 9 << 20];
    let answered = long.clone();
    let up = Upstream::serve(move |mut c: Connection| {
        while c.read_request()?.is_some() {
            c.answer(200, &[("Content-Type", "audio/mpeg")], &answered)?;
        }
        Ok(())
    })
    .unwrap();
    // Longer than may be looked at (1 MiB), as in Kong, and than the node's memory for bodies.
    let rig = gateway(&route("audio/v1/audio/transcriptions", "openai", &up));
    let upload = form(Some("m"), &long);
    let answer = ask(&rig, "POST", "/x", FORM, &upload);
    assert_eq!(answer.status(), 200);
    assert!(answer.body == long, "{} bytes", answer.body.len());
    assert!(sent(&up).body == upload);
}

#[test]
fn an_upload_is_not_sent_twice() {
    let (bad, good) = (provider(503, "application/json", "{}"), provider(200, "application/json", "{}"));
    let target_at = |up: &Upstream| {
        let mut target = target("openai", up, json!({}));
        target["route_type"] = json!("audio/v1/audio/transcriptions");
        target
    };
    let balancer = json!({"algorithm": "priority", "retries": 3,
        "failover_criteria": ["error", "timeout", "http_503", "non_idempotent"]});
    let mut targets = [target_at(&bad), target_at(&good)];
    targets[0]["weight"] = json!(200);
    let rig = gateway(&advanced(&targets, balancer));
    // What was looked at can be sent again, to the next.
    assert_eq!(ask(&rig, "POST", "/x", FORM, &form(Some("m"), b"short")).status(), 200);
    assert_eq!(good.requests().len(), 1);
    let answer = ask(&rig, "POST", "/x", FORM, &form(Some("m"), &vec![1; 2 << 20]));
    assert_eq!(answer.status(), 503, "{}", answer.text());
    assert!(good.requests().is_empty());
}

#[test]
fn what_a_media_call_used_is_counted() {
    let image =
        r#"{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"input_tokens":5,"output_tokens":30,"total_tokens":35}}"#;
    let up = provider(200, "application/json", image);
    let limiter = json!({"name": "ai-rate-limiting-advanced", "config": {"llm_providers": [
        {"name": "openai", "limit": [10], "window_size": [3600]}]}});
    let rig = gateway_with(&[route("image/v1/images/generations", "openai", &up), limiter]);
    let status = || ask(&rig, "POST", "/x", "application/json", br#"{"prompt":"a cat"}"#).status();
    assert_eq!((status(), status()), (200, 429));
}

#[test]
fn what_is_not_served_is_refused_when_it_is_configured() {
    let up = provider(200, "application/json", "{}");
    let node = Rig::bare(&[]);
    for (route_type, provider, format, why) in [
        ("realtime/v1/realtime", "openai", "openai", "is not served yet: conversations by voice need WebSocket"),
        ("image/v1/images/generations", "cohere", "openai", "is not served yet for provider 'cohere'"),
        ("llm/v1/files", "openai", "anthropic", "is served in llm_format 'openai' only, so far"),
    ] {
        let mut plugin = route(route_type, provider, &up);
        plugin["config"]["llm_format"] = json!(format);
        let refused = node.running().declarative.replace(configuration(&[plugin]).as_bytes()).unwrap_err();
        let refused = format!("{refused:?}");
        assert!(refused.contains(why), "{refused}");
    }
}
