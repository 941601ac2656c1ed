//! What a real gateway answered to small configurations.

use std::net::{IpAddr, Ipv4Addr};

use gibbon_message::{Headers, uri};
use gibbon_router::{Flavor, Protocol, Query, RouteSpec, Router, Scratch, Subsystem};
use uuid::Uuid;

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn route(number: u128) -> RouteSpec {
    let protocols = [Protocol::Http, Protocol::Https].into_iter().collect();
    RouteSpec { id: Uuid::from_u128(number), protocols, ..RouteSpec::default() }
}

fn paths(number: u128, paths: &[&str]) -> RouteSpec {
    RouteSpec { paths: list(paths), ..route(number) }
}

fn hosts(number: u128, hosts: &[&str]) -> RouteSpec {
    RouteSpec { hosts: list(hosts), ..route(number) }
}

fn expression(number: u128, text: &str, priority: u64) -> RouteSpec {
    RouteSpec { expression: Some(text.to_owned()), priority, ..route(number) }
}

/// A gateway with a few routes, asked by path, host and headers; it answers with the number of the route, from 0.
struct Gateway(Router<usize>);

#[derive(Clone, Copy)]
struct Ask<'a> {
    target: &'a str,
    host: &'a str,
    method: &'a str,
    headers: &'a [(&'a str, &'a str)],
    sni: Option<&'a str>,
}

const ASK: Ask<'static> = Ask { target: "/", host: "api.test", method: "GET", headers: &[], sni: None };

impl Gateway {
    fn new(flavor: Flavor, routes: &[RouteSpec]) -> Gateway {
        let values = routes.iter().cloned().enumerate().map(|(index, route)| (route, index));
        Gateway(Router::build(flavor, Subsystem::Http, values).unwrap())
    }

    fn compatible(routes: &[RouteSpec]) -> Gateway {
        Gateway::new(Flavor::TraditionalCompatible, routes)
    }

    /// Route and what it matched of the path.
    fn ask(&self, ask: Ask<'_>) -> Option<(usize, Option<String>)> {
        let (path, query) = ask.target.split_once('?').map_or((ask.target, None), |(path, query)| (path, Some(query)));
        let path = uri::normalize(path.as_bytes());
        let mut headers = Headers::new();
        ask.headers.iter().for_each(|(name, value)| headers.append(name, value));
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let query = Query {
            protocol: if ask.sni.is_some() { Protocol::Https } else { Protocol::Http },
            method: ask.method,
            host: ask.host.as_bytes(),
            path: &path,
            raw_query: query.map(str::as_bytes),
            headers: &headers,
            sni: ask.sni,
            source: (local, 40000),
            destination: (local, 8000),
        };
        let mut scratch = Scratch::default();
        let found = self.0.find(&query, &mut scratch)?;
        Some((*found.value, found.matched_path.map(|path| String::from_utf8(path.to_vec()).unwrap())))
    }

    fn path(&self, target: &str) -> Option<usize> {
        self.ask(Ask { target, ..ASK }).map(|(route, _)| route)
    }

    fn host(&self, host: &str) -> Option<usize> {
        self.ask(Ask { host, ..ASK }).map(|(route, _)| route)
    }
}

#[test]
fn exact_hosts_compare_by_case_and_port() {
    let gateway = Gateway::compatible(&[hosts(1, &["a.test", "b.test:8080"])]);
    for host in ["a.test", "a.test:1234", "b.test:8080"] {
        assert_eq!(gateway.host(host), Some(0), "{host}");
    }
    for host in ["A.TEST", "a.test.", "b.test", "b.test:8081", "c.test", "xa.test"] {
        assert_eq!(gateway.host(host), None, "{host}");
    }
}

#[test]
fn a_leading_wildcard_takes_any_depth_and_even_none() {
    let gateway = Gateway::compatible(&[hosts(1, &["*.w.test"])]);
    for host in ["x.w.test", "x.y.w.test", ".w.test", "x.w.test:9"] {
        assert_eq!(gateway.host(host), Some(0), "{host}");
    }
    for host in ["w.test", "X.W.Test", "xw.test"] {
        assert_eq!(gateway.host(host), None, "{host}");
    }
}

#[test]
fn a_trailing_wildcard() {
    let gateway = Gateway::compatible(&[hosts(1, &["w.*"])]);
    let answers = ["w.test", "w.test.org", "w", "w.", "ww.test"].map(|host| gateway.host(host).is_some());
    assert_eq!(answers, [true, true, false, true, false]);
}

#[test]
fn plain_hosts_win_over_a_route_with_a_wildcard_even_if_it_has_headers_too() {
    let with_headers = RouteSpec {
        headers: vec![("x-a".into(), list(&["1", "2"])), ("x-b".into(), list(&["3"]))],
        ..hosts(1, &["*.a.test", "b.test"])
    };
    let gateway = Gateway::compatible(&[with_headers, hosts(2, &["b.test"])]);
    let ask = |host, headers| gateway.ask(Ask { host, headers, ..ASK }).map(|(route, _)| route);
    assert_eq!(ask("b.test", &[("x-a", "2"), ("x-b", "3")]), Some(1));
    assert_eq!(ask("b.test", &[("x-a", "2")]), Some(1));
    assert_eq!(ask("z.a.test", &[("x-a", "1"), ("x-b", "3")]), Some(0));
    assert_eq!(ask("z.a.test", &[("x-a", "1"), ("x-b", "4")]), None);
    assert_eq!(ask("b.test", &[("x-a", "9"), ("x-a", "1"), ("x-b", "3")]), Some(1));
}

#[test]
fn a_plain_host_wins_over_a_mixed_one() {
    let mixed = RouteSpec { paths: list(&["/x"]), ..hosts(1, &["*.mix.test", "plain.test"]) };
    let plain = RouteSpec { paths: list(&["/x"]), ..hosts(2, &["a.mix.test"]) };
    let gateway = Gateway::compatible(&[mixed, plain]);
    let ask = |host| gateway.ask(Ask { host, target: "/x", ..ASK }).map(|(route, _)| route);
    assert_eq!([ask("a.mix.test"), ask("b.mix.test"), ask("plain.test")], [Some(1), Some(0), Some(0)]);
}

#[test]
fn host_over_header_over_path_over_nothing() {
    let header = RouteSpec { headers: vec![("x-k".into(), list(&["1"]))], ..route(2) };
    let method = RouteSpec { methods: list(&["GET"]), ..route(4) };
    let gateway = Gateway::compatible(&[hosts(1, &["k.test"]), header, paths(3, &["/k"]), method]);
    let ask = |target, host, headers| gateway.ask(Ask { target, host, headers, ..ASK }).map(|(route, _)| route);
    assert_eq!(ask("/k", "k.test", &[("x-k", "1")]), Some(0));
    assert_eq!(ask("/k", "z.test", &[("x-k", "1")]), Some(1));
    assert_eq!(ask("/k", "k.test", &[]), Some(0));
    assert_eq!(ask("/k", "z.test", &[]), Some(2));
    assert_eq!(ask("/z", "k.test", &[]), Some(0));
}

#[test]
fn header_patterns_are_lower_cased_and_one_value_suffices() {
    let gateway =
        Gateway::compatible(&[RouteSpec { headers: vec![("x-ver".into(), list(&["~*^v[0-9]+$"]))], ..route(1) }]);
    let ask = |headers| gateway.ask(Ask { headers, ..ASK }).is_some();
    assert!(ask(&[("X-Ver", "v12")]) && ask(&[("X-Ver", "V12")]) && ask(&[("X-Ver", "nope"), ("X-Ver", "v3")]));
    assert!(!ask(&[("X-Ver", "v12b")]) && !ask(&[("X-Ver", "~*^v[0-9]+$")]) && !ask(&[]));
}

#[test]
fn a_regex_wins_over_a_longer_prefix() {
    let gateway = Gateway::compatible(&[paths(1, &["/status/long/prefix"]), paths(2, &["~/sta.*"])]);
    assert_eq!(
        gateway.ask(Ask { target: "/status/long/prefix", ..ASK }),
        Some((1, Some("/status/long/prefix".into())))
    );
    assert_eq!(gateway.path("/sta"), Some(1));
}

#[test]
fn a_negative_regex_priority_wins() {
    let with = |number, path, regex_priority| RouteSpec { regex_priority, ..paths(number, &[path]) };
    let gateway =
        Gateway::compatible(&[with(1, r"~/x/\d+", 0), with(2, "~/x/[0-9]", 5), with(3, "~/x/1234567890", -1)]);
    assert_eq!(gateway.path("/x/1"), Some(1));
    assert_eq!(gateway.path("/x/1234567890"), Some(2));
}

#[test]
fn regexes_may_have_flags_classes_and_an_open_end() {
    let gateway = Gateway::compatible(&[
        paths(1, &["~/(?i)caseless"]),
        paths(2, &["~/alt/(a|b|cd)$"]),
        paths(3, &[r"~/cls/[[:alpha:]]+/\w{2,3}$"]),
    ]);
    let expected = [
        ("/CASELESS", Some(0)),
        ("/Caseless/x", Some(0)),
        ("/alt/b", Some(1)),
        ("/alt/c", None),
        ("/alt/cd", Some(1)),
        ("/cls/abc/xy", Some(2)),
        ("/cls/ab1/xy", None),
        ("/cls/abc/wxyz", None),
    ];
    for (target, route) in expected {
        assert_eq!(gateway.path(target), route, "{target}");
    }
}

#[test]
fn escapes_in_routes_and_requests_meet_in_normal_form() {
    let gateway = Gateway::compatible(&[paths(1, &["/sp ace"]), paths(2, &["/é"]), paths(3, &["/upper%2Fslash"])]);
    let expected = [
        ("/sp%20ace", Some(0)),
        ("/sp+ace", None),
        ("/%C3%A9", Some(1)),
        ("/%c3%a9/x", Some(1)),
        ("/upper%2Fslash", Some(2)),
        ("/upper%2fslash", Some(2)),
        ("/upper/slash", None),
    ];
    for (target, route) in expected {
        assert_eq!(gateway.path(target), route, "{target}");
    }
}

#[test]
fn of_equal_expressions_the_greater_id_wins() {
    let text = r#"http.path ^= "/same""#;
    let gateway = Gateway::new(Flavor::Expressions, &[expression(1, text, 5), expression(2, text, 5)]);
    assert_eq!(gateway.path("/same"), Some(1));
}

#[test]
fn expressions_see_the_normal_path_and_the_host_without_port() {
    let gateway = Gateway::new(
        Flavor::Expressions,
        &[
            expression(1, r#"http.path == "/a b""#, 1),
            expression(2, r#"http.path == "/a%2Fb""#, 1),
            expression(3, r#"http.host == "up.test""#, 1),
        ],
    );
    assert_eq!(["/a%20b", "/a%2fb", "/a/./../a%20b"].map(|target| gateway.path(target)), [Some(0), Some(1), Some(0)]);
    assert_eq!([gateway.host("UP.TEST"), gateway.host("up.test:80")], [None, Some(2)]);
}

#[test]
fn expressions_on_network_and_tls() {
    let gateway = Gateway::new(
        Flavor::Expressions,
        &[
            expression(1, r#"net.src.ip in 127.0.0.0/8 && http.path ^= "/src""#, 5),
            expression(2, r#"net.src.ip in 10.0.0.0/8 && http.path ^= "/ten""#, 5),
            expression(3, r#"net.protocol == "https" && http.path ^= "/proto""#, 6),
            expression(4, r#"net.protocol == "http" && http.path ^= "/proto""#, 6),
            expression(5, r#"tls.sni == "one.test" && http.path ^= "/sni""#, 6),
            expression(6, r#"net.dst.port == 8000 && http.path == "/dst""#, 1),
            expression(7, r#"net.src.port > 1023 && http.path == "/port""#, 1),
            expression(8, r#"net.src.ip not in 10.0.0.0/8 && http.path == "/notin""#, 1),
        ],
    );
    let ask = |target, sni| gateway.ask(Ask { target, sni, ..ASK }).map(|(route, _)| route);
    assert_eq!([ask("/src", None), ask("/ten", None)], [Some(0), None]);
    assert_eq!([ask("/proto", None), ask("/proto", Some("x.test"))], [Some(3), Some(2)]);
    assert_eq!([ask("/sni", Some("one.test")), ask("/sni", Some("two.test"))], [Some(4), None]);
    assert_eq!([ask("/dst", None), ask("/port", None), ask("/notin", None)], [Some(5), Some(6), Some(7)]);
}

#[test]
fn query_arguments_must_all_match_unless_any_is_asked_for() {
    let gateway = Gateway::new(
        Flavor::Expressions,
        &[
            expression(1, r#"http.queries.foo == "bar""#, 5),
            expression(2, r#"any(http.queries.tag) == "x""#, 4),
            expression(3, r#"http.queries.flag == """#, 3),
        ],
    );
    let expected = [
        ("/?foo=bar", Some(0)),
        ("/?foo=baz", None),
        ("/?foo=bar&foo=baz", None),
        ("/?foo=b%61r", Some(0)),
        ("/?tag=y&tag=x", Some(1)),
        ("/?flag", Some(2)),
        ("/?flag=", Some(2)),
        // A real gateway may find the third here, through a cache that takes absent for empty. Absent is absent.
        ("/", None),
    ];
    for (target, route) in expected {
        assert_eq!(gateway.path(target), route, "{target}");
    }
}

#[test]
fn what_an_expression_matched_of_the_path_is_its_prefix_text_or_match() {
    let gateway = Gateway::new(
        Flavor::Expressions,
        &[
            expression(1, r#"http.path ^= "/pre""#, 1),
            expression(2, r#"http.path == "/exact""#, 1),
            expression(3, r##"http.path ~ r#"^/re/(?<id>\d+)"#"##, 1),
        ],
    );
    let matched = |target| gateway.ask(Ask { target, ..ASK }).and_then(|(_, path)| path);
    assert_eq!(
        [matched("/pre/x"), matched("/prex"), matched("/exact"), matched("/re/12/x")],
        [Some("/pre".into()), Some("/pre".into()), Some("/exact".into()), Some("/re/12".into())]
    );
}

#[test]
fn the_traditional_flavour_on_paths() {
    let gateway = Gateway::new(
        Flavor::Traditional,
        &[paths(1, &["/a/b"]), paths(2, &[r"~/re/(?<id>\d+)"]), paths(3, &["/sp ace"])],
    );
    let expected = [
        ("/a/./b/c", Some((0, "/a/b"))),
        ("/a//b", Some((0, "/a/b"))),
        ("/a/%62/c%2Fd", Some((0, "/a/b"))),
        ("/re/12/x", Some((1, "/re/12"))),
        ("/sp%20ace", Some((2, "/sp ace"))),
        ("/A/b", None),
        ("/none", None),
    ];
    for (target, answer) in expected {
        let answer = answer.map(|(route, path)| (route, Some(path.to_owned())));
        assert_eq!(gateway.ask(Ask { target, ..ASK }), answer, "{target}");
    }
}

#[test]
fn a_path_that_is_not_text_has_no_route() {
    let gateway = Gateway::compatible(&[paths(1, &["/"]), paths(2, &["~/admin/[^/]+$"])]);
    assert_eq!(gateway.path("/admin/x"), Some(1));
    assert_eq!(gateway.path("/admin/%FF"), None, "it must not lead around the stricter route");
}
