//! `X-Kong-Request-Debug`: does whoever may know learn where the time went, and nobody else anything?

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::upstream::{self, Upstream};
use gibbon_testkit::{Gateway, Settings};
use serde_json::{Value, json};

use crate::ending::PATIENCE;

const TOKEN: &str = "01dd4c9e-cb5e-4b26-9e49-4eb0509fbd68";

/// Many plugins, so that the tree is long.
fn config(upstream: &Upstream) -> String {
    let plugins = ["correlation-id", "cors", "response-transformer", "request-transformer", "request-size-limiting"];
    let mut plugins: Vec<Value> = plugins.iter().map(|name| json!({ "name": name })).collect();
    plugins.push(json!({"name": "rate-limiting", "config": {"minute": 1000, "policy": "local"}}));
    plugins
        .push(json!({"name": "response-ratelimiting", "config": {"limits": {"a": {"minute": 9}}, "policy": "local"}}));
    plugins.push(json!({"name": "ip-restriction", "config": {"allow": ["0.0.0.0/0"]}}));
    plugins.push(json!({"name": "bot-detection"}));
    let nothing =
        json!({"access": ["return"], "header_filter": ["return"], "body_filter": ["return"], "log": ["return"]});
    plugins.extend(["pre-function", "post-function"].map(|name| json!({"name": name, "config": nothing})));
    let port = upstream.address().port();
    let routes = json!([{"name": "few", "paths": ["/few"]}, {"name": "many", "paths": ["/many"], "plugins": plugins}]);
    json!({"_format_version": "3.0", "services": [{"name": "s", "url": format!("http://localhost:{port}"), "routes": routes}]})
        .to_string()
}

fn settings(upstream: &Upstream) -> Settings {
    Settings::new().config(config(upstream)).set("trusted_ips", "0.0.0.0/0").set("real_ip_header", "X-Real-IP")
}

fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    client::once(gateway.addresses().proxy, head).unwrap()
}

fn output(response: &Response) -> Option<Value> {
    response.header("X-Kong-Request-Debug-Output").map(|text| serde_json::from_str(text).unwrap())
}

/// The tree of a request in the error log, and in how many parts it came.
fn logged(gateway: &Gateway, id: &str) -> (Value, usize) {
    let deadline = Instant::now() + PATIENCE;
    let mark = format!("request_id: \"{id}\"");
    loop {
        let log = fs::read_to_string(gateway.prefix().join("logs/error.log")).unwrap_or_default();
        let lines = log.lines().filter(|line| line.contains("[request-debug] ") && line.contains(&mark));
        let lines: Vec<&str> = lines.collect();
        let part = |line: &str| {
            let (_, rest) = line.split_once("output: ").unwrap();
            rest.split_once(" while logging request, client: ").unwrap().0.to_owned()
        };
        if let Ok(tree) = serde_json::from_str(&lines.iter().map(|line| part(line)).collect::<String>()) {
            for (number, line) in lines.iter().enumerate().filter(|_| lines.len() > 1) {
                assert!(line.contains(&format!("parts: {}/{} output: ", number + 1, lines.len())), "{line}");
            }
            return (tree, lines.len());
        }
        assert!(Instant::now() < deadline, "no whole tree of {id} in the log: {lines:?}");
        std::thread::yield_now();
    }
}

#[test]
fn this_machine_learns_where_the_time_went_without_a_token() {
    let pause = Duration::from_millis(60);
    let answering = move |mut connection: upstream::Connection| {
        while connection.read_request()?.is_some() {
            std::thread::sleep(pause);
            connection.answer(200, &[], "")?;
        }
        Ok(())
    };
    let upstream = Upstream::serve(answering).unwrap();
    let gateway = settings(&upstream).start().unwrap();
    assert!(ask(&gateway, "/few", &[]).header("X-Kong-Request-Debug-Output").is_none());

    let answer = ask(&gateway, "/many", &[("X-Kong-Request-Debug", "*"), ("X-Kong-Request-Debug-Log", "true")]);
    let tree = output(&answer).unwrap();
    assert_eq!(tree["request_id"], answer.header("X-Kong-Request-Id").unwrap());
    assert!(tree["workspace_id"].as_str().unwrap().len() == 36);
    let child = &tree["child"];
    let time = |value: &Value| value["total_time"].as_f64().unwrap_or_else(|| panic!("no time in {value}"));
    for phase in ["rewrite", "access", "balancer", "header_filter", "upstream"] {
        time(&child[phase]);
    }
    time(&child["access"]["child"]["router"]);
    assert!(child["access"]["child"]["dns"]["child"]["localhost"]["child"]["resolve"]["cache_hit"].is_boolean());
    let plugins = &child["access"]["child"]["plugins"]["child"];
    let limiting = plugins["rate-limiting"]["child"].as_object().unwrap();
    assert!(
        limiting.len() == 1 && limiting.keys().all(|id| id.len() == 36) && limiting.values().all(|one| time(one) > 0.0)
    );
    assert!(child.get("body_filter").is_none() && child.get("log").is_none(), "not known yet");
    let upstream = &child["upstream"];
    assert!(
        time(upstream) >= 50.0
            && upstream["child"]["time_to_first_byte"] == json!({"total_time": upstream["total_time"]})
    );

    let (whole, _) = logged(&gateway, tree["request_id"].as_str().unwrap());
    for phase in ["rewrite", "access", "balancer", "header_filter", "body_filter", "log"] {
        time(&whole["child"][phase]);
    }
    let parts = &whole["child"]["upstream"]["child"];
    let sum = time(&parts["time_to_first_byte"]) + time(&parts["streaming"]);
    assert_eq!(time(&whole["child"]["upstream"]), sum);
}

#[test]
fn whoever_is_elsewhere_must_show_the_token_and_is_not_sent_more_than_it_can_take() {
    let upstream = upstream::echo().unwrap();
    let gateway = settings(&upstream).set("request_debug_token", TOKEN).start().unwrap();
    let elsewhere = ("X-Real-IP", "192.0.2.1");
    let asks = ("X-Kong-Request-Debug", "*");
    for refused in [vec![elsewhere, asks], vec![elsewhere, asks, ("X-Kong-Request-Debug-Token", "wrong")]] {
        assert!(output(&ask(&gateway, "/few", &refused)).is_none(), "{refused:?}");
    }
    let shown = ("X-Kong-Request-Debug-Token", TOKEN);
    assert!(output(&ask(&gateway, "/few", &[elsewhere, asks, shown])).unwrap()["child"]["access"].is_object());

    let tree = output(&ask(&gateway, "/many", &[elsewhere, asks, shown])).unwrap();
    assert_eq!((&tree["truncated"], tree.get("child")), (&json!(true), None));
    let (whole, parts) = logged(&gateway, tree["request_id"].as_str().unwrap());
    assert!(parts > 1 && whole["child"]["access"]["child"]["plugins"].is_object());
}

#[test]
fn only_a_star_asks_and_the_headers_end_at_the_gateway() {
    let upstream = upstream::echo().unwrap();
    let gateway = settings(&upstream).start().unwrap();
    for value in ["1", "access,rewrite", "**", ""] {
        assert!(output(&ask(&gateway, "/few", &[("X-Kong-Request-Debug", value)])).is_none(), "{value}");
    }
    let headers =
        [("X-Kong-Request-Debug", "*"), ("X-Kong-Request-Debug-Token", "t"), ("X-Kong-Request-Debug-Log", "false")];
    ask(&gateway, "/few", &headers);
    ask(&gateway, "/few", &headers[1..]);
    for request in upstream.requests() {
        for (name, _) in headers {
            assert!(request.header(name).is_none(), "{name} reached the upstream");
        }
    }
    // What the gateway answers itself is timed, too.
    let nowhere = output(&ask(&gateway, "/nowhere", &headers)).unwrap();
    assert!(nowhere["child"]["access"]["child"]["router"].is_object() && nowhere["child"].get("upstream").is_none());
}

#[test]
fn a_token_that_nobody_set_is_made_and_lies_in_the_prefix_for_its_owner_alone() {
    let upstream = upstream::echo().unwrap();
    let gateway = settings(&upstream).start().unwrap();
    let file = gateway.prefix().join(".request_debug_token");
    let token = fs::read_to_string(&file).unwrap();
    assert_eq!((token.len(), fs::metadata(&file).unwrap().permissions().mode() & 0o777), (36, 0o600));
    let headers =
        |token| [("X-Real-IP", "192.0.2.1"), ("X-Kong-Request-Debug", "*"), ("X-Kong-Request-Debug-Token", token)];
    assert!(output(&ask(&gateway, "/few", &headers(&token))).is_some());
    gateway.upgrade().unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), token, "a successor keeps it");
    assert!(output(&ask(&gateway, "/few", &headers(&token))).is_some());
}

#[test]
fn turned_off_nothing_is_timed_and_there_is_no_token() {
    let upstream = upstream::echo().unwrap();
    let gateway = settings(&upstream).set("request_debug", "off").start().unwrap();
    assert!(output(&ask(&gateway, "/few", &[("X-Kong-Request-Debug", "*")])).is_none());
    assert!(!gateway.prefix().join(".request_debug_token").exists());
}
