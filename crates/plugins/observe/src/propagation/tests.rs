//! What each format reads and writes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_message::Headers;
use gibbon_pdk::Exchange;

use super::{Extracted, Format, OldNames, Outgoing, Propagation};
use crate::digits::hex_text;

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "05e3ac9a4f6e3b90";
const PARENT: &str = "e457b5a2e4d86bd1";

fn headers(pairs: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    pairs.iter().for_each(|(name, value)| headers.append(name, value));
    headers
}

/// Reads in this format only, writes what was found.
fn only(format: &str) -> Propagation {
    let (extract, inject) = (Some(vec![format.to_owned()]), Some(vec!["preserve".to_owned()]));
    let old = OldNames { header_type: None, default_header_type: None };
    Propagation::new((&extract, &None, &inject), "w3c", &old)
}

fn read(format: &str, pairs: &[(&str, &str)]) -> Extracted {
    only(format).extract(&headers(pairs))
}

/// Trace, span, parent and decision as text.
fn shown(found: &Extracted) -> (String, String, String, Option<bool>) {
    let text = |id: Option<[u8; 8]>| id.map(|id| hex_text(&id)).unwrap_or_default();
    let trace = found.trace.map(|id| hex_text(&id)).unwrap_or_default();
    (trace, text(found.span), text(found.parent), found.sampled)
}

fn expected(trace: &str, span: &str, parent: &str, sampled: Option<bool>) -> (String, String, String, Option<bool>) {
    (trace.into(), span.into(), parent.into(), sampled)
}

#[test]
fn every_format_is_read() {
    let full = |sampled| expected(TRACE, SPAN, "", Some(sampled));
    let cases: &[(&str, &[(&str, &str)], _)] = &[
        ("w3c", &[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))], full(true)),
        ("w3c", &[("Traceparent", &format!("00-{TRACE}-{SPAN}-02"))], full(false)),
        (
            "b3",
            &[("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN), ("X-B3-ParentSpanId", PARENT), ("X-B3-Sampled", "true")],
            expected(TRACE, SPAN, PARENT, Some(true)),
        ),
        ("b3", &[("b3", &format!("{TRACE}-{SPAN}-d-{PARENT}"))], expected(TRACE, SPAN, PARENT, Some(true))),
        ("b3", &[("b3", &format!("{TRACE}-{SPAN}"))], expected(TRACE, SPAN, "", None)),
        ("b3", &[("tracestate", &format!("b3={TRACE}-{SPAN}-0"))], full(false)),
        ("b3", &[("b3", "0")], expected("", "", "", Some(false))),
        ("b3", &[("x-b3-flags", "1")], expected("", "", "", Some(true))),
        (
            "jaeger",
            &[("uber-trace-id", &format!("{}:{SPAN}:0:3", &TRACE[16..]))],
            expected(&format!("{}{}", "0".repeat(16), &TRACE[16..]), SPAN, "", Some(true)),
        ),
        ("ot", &[("ot-tracer-traceid", TRACE), ("ot-tracer-spanid", SPAN), ("ot-tracer-sampled", "0")], full(false)),
        (
            "datadog",
            &[("x-datadog-trace-id", " 1234 "), ("x-datadog-parent-id", "255"), ("x-datadog-sampling-priority", "2")],
            expected(&format!("{:032x}", 1234), "00000000000000ff", "", Some(true)),
        ),
        (
            "aws",
            &[("X-Amzn-Trace-Id", &format!("Self=x;Root=1-80f198ee-{}; Parent={SPAN};Sampled=0", &TRACE[8..]))],
            full(false),
        ),
        (
            "gcp",
            &[("x-cloud-trace-context", &format!("{TRACE}/1;o=1"))],
            expected(TRACE, "0000000000000001", "", Some(true)),
        ),
        (
            "instana",
            &[("x-instana-t", TRACE), ("x-instana-s", SPAN), ("x-instana-l", "1,correlationType=web")],
            full(true),
        ),
    ];
    for (format, pairs, wanted) in cases {
        assert_eq!(shown(&read(format, pairs)), *wanted, "{format} {pairs:?}");
    }
}

#[test]
fn what_is_malformed_is_no_trace() {
    let zeros = "0".repeat(32);
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("w3c", &[("traceparent", &format!("01-{TRACE}-{SPAN}-01"))]),
        ("w3c", &[("traceparent", &format!("00-{zeros}-{SPAN}-01"))]),
        ("w3c", &[("traceparent", &format!("00-{TRACE}-{SPAN}-01-more"))]),
        ("w3c", &[("traceparent", &format!("00-{TRACE}-{SPAN}-01")), ("traceparent", "00")]),
        ("b3", &[("x-b3-traceid", "xyz"), ("x-b3-spanid", SPAN)]),
        ("b3", &[("x-b3-traceid", TRACE), ("x-b3-spanid", "short")]),
        ("b3", &[("b3", &format!("{TRACE}-{SPAN}-1-short"))]),
        ("jaeger", &[("uber-trace-id", &format!("{TRACE}:{SPAN}:0"))]),
        ("jaeger", &[("uber-trace-id", &format!("{TRACE}0:{SPAN}:0:1"))]),
        ("ot", &[("ot-tracer-traceid", &TRACE[1..]), ("ot-tracer-spanid", SPAN)]),
        ("datadog", &[("x-datadog-trace-id", "12x")]),
        ("datadog", &[("x-datadog-trace-id", "12"), ("x-datadog-sampling-priority", "7")]),
        ("aws", &[("x-amzn-trace-id", &format!("Root=2-80f198ee-{}", &TRACE[8..]))]),
        ("aws", &[("x-amzn-trace-id", "Root=1-é")]),
        ("gcp", &[("x-cloud-trace-context", &format!("{TRACE}/x"))]),
        ("gcp", &[("x-cloud-trace-context", "é")]),
        ("instana", &[("x-instana-t", &format!("{TRACE}0"))]),
    ];
    for (format, pairs) in cases {
        assert_eq!(read(format, pairs).trace, None, "{format} {pairs:?}");
    }
}

/// The request as it goes upstream.
fn sent(propagation: &Propagation, pairs: &[(&str, &str)], sampled: Option<bool>) -> Exchange {
    let mut x = gibbon_rig::request("GET /", pairs);
    let from = propagation.extract(&x.request.headers);
    let out = Outgoing { trace: from.trace.unwrap_or([1; 16]), span: [2; 8], parent: Some([3; 8]), sampled };
    propagation.inject(&mut x, &from, &out);
    x
}

fn inject(formats: &[&str], sampled: Option<bool>) -> Exchange {
    let inject = Some(formats.iter().map(|name| (*name).to_owned()).collect());
    let old = OldNames { header_type: None, default_header_type: None };
    sent(&Propagation::new((&None, &None, &inject), "b3", &old), &[], sampled)
}

#[test]
fn every_format_is_written() {
    let (trace, span, parent) = ("01".repeat(16), "02".repeat(8), "03".repeat(8));
    let decimal = u64::from_be_bytes([2; 8]).to_string();
    let cases: Vec<(&str, Vec<(&str, String)>)> = vec![
        ("w3c", vec![("traceparent", format!("00-{trace}-{span}-01"))]),
        (
            "b3",
            vec![
                ("x-b3-traceid", trace.clone()),
                ("x-b3-spanid", span.clone()),
                ("x-b3-parentspanid", parent.clone()),
                ("x-b3-sampled", "1".into()),
            ],
        ),
        ("b3-single", vec![("b3", format!("{trace}-{span}-1-{parent}"))]),
        ("jaeger", vec![("uber-trace-id", format!("{trace}:{span}:{parent}:01"))]),
        ("ot", vec![("ot-tracer-traceid", "01".repeat(8)), ("ot-tracer-spanid", span.clone())]),
        (
            "datadog",
            vec![
                ("x-datadog-trace-id", u64::from_be_bytes([1; 8]).to_string()),
                ("x-datadog-parent-id", decimal.clone()),
                ("x-datadog-sampling-priority", "1".into()),
            ],
        ),
        ("aws", vec![("x-amzn-trace-id", format!("Root=1-01010101-{};Parent={span};Sampled=1", "01".repeat(12)))]),
        ("gcp", vec![("x-cloud-trace-context", format!("{trace}/{decimal};o=1"))]),
        ("instana", vec![("x-instana-t", trace.clone()), ("x-instana-s", span.clone()), ("x-instana-l", "1".into())]),
    ];
    for (format, wanted) in cases {
        let x = inject(&[format], Some(true));
        for (name, value) in wanted {
            assert_eq!(x.request.headers.get_str(name), Some(&*value), "{format} {name}");
        }
    }
}

#[test]
fn a_decision_that_is_not_taken_is_left_out_where_the_format_allows_it() {
    let x = inject(&["datadog", "ot", "b3-single", "w3c"], None);
    assert!(!x.request.headers.contains("x-datadog-sampling-priority"));
    assert!(!x.request.headers.contains("ot-tracer-sampled"));
    assert_eq!(x.request.headers.get_str("b3").map(|value| value.split('-').count()), Some(3));
    assert!(x.request.headers.get_str("traceparent").is_some_and(|value| value.ends_with("-00")));
}

#[test]
fn preserving_keeps_notation_size_and_baggage() {
    let all = OldNames { header_type: Some("preserve"), default_header_type: None };
    let propagation = Propagation::new((&None, &None, &None), "w3c", &all);
    let x = sent(&propagation, &[("b3", &format!("{}-{SPAN}-1", &TRACE[16..]))], Some(true));
    assert_eq!(
        x.request.headers.get_str("b3"),
        Some(&*format!("{}-{}-1-{}", &TRACE[16..], "02".repeat(8), "03".repeat(8)))
    );
    assert!(!x.request.headers.contains("x-b3-traceid"));

    let pairs = [("uber-trace-id", &*format!("{TRACE}:{SPAN}:0:1")), ("UberCtx-User", "a%20b")];
    let x = sent(&propagation, &pairs, Some(true));
    assert_eq!(x.request.headers.get_str("uberctx-user"), Some("a%20b"));
    assert_eq!((x.trace.ids[0].format, &x.trace.ids[0].text[..]), ("jaeger", TRACE.as_bytes()));

    let x = sent(&propagation, &[], Some(false));
    assert!(x.request.headers.contains("traceparent"), "the default format");
}

#[test]
fn the_older_setting_writes_the_format_that_was_found_and_its_own() {
    let old = OldNames { header_type: Some("datadog"), default_header_type: None };
    let propagation = Propagation::new((&None, &None, &None), "w3c", &old);
    let x = sent(&propagation, &[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))], Some(true));
    assert!(x.request.headers.get_str("traceparent").unwrap().starts_with(&format!("00-{TRACE}-0202")));
    assert!(x.request.headers.contains("x-datadog-trace-id"));

    let ignore = OldNames { header_type: Some("ignore"), default_header_type: None };
    let propagation = Propagation::new((&None, &None, &None), "w3c", &ignore);
    let x = sent(&propagation, &[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))], Some(true));
    assert!(x.request.headers.get_str("traceparent").unwrap().starts_with(&format!("00-{}", "01".repeat(16))));
}

#[test]
fn named_headers_are_cleared_before_others_are_written() {
    let (clear, inject) = (Some(vec!["traceparent".into(), "x-secret".into()]), Some(vec!["w3c".into()]));
    let old = OldNames { header_type: Some("preserve"), default_header_type: None };
    let propagation = Propagation::new((&None, &clear, &inject), "b3", &old);
    let x = sent(&propagation, &[("X-Secret", "1"), ("traceparent", "old")], Some(true));
    assert!(!x.request.headers.contains("x-secret"));
    assert!(x.request.headers.get_str("traceparent").unwrap().starts_with("00-01"));
}

#[test]
fn a_baggage_value_cannot_bring_a_line_break_in() {
    let x = sent(&only("ot"), &[("ot-tracer-sampled", "1"), ("ot-baggage-k", "v%0d%0aEvil: 1")], Some(true));
    assert_eq!(x.request.headers.get_str("ot-baggage-k"), Some("v%0D%0AEvil%3A%201"));
}

#[test]
fn the_first_format_that_is_found_counts() {
    let old = OldNames { header_type: None, default_header_type: None };
    let extract = Some(vec!["datadog".into(), "w3c".into()]);
    let propagation = Propagation::new((&extract, &None, &None), "w3c", &old);
    let w3c = format!("00-{TRACE}-{SPAN}-01");
    let both = headers(&[("traceparent", &w3c), ("x-datadog-trace-id", "7")]);
    assert_eq!(propagation.extract(&both).format, Some(Format::Datadog));
    let spoilt = headers(&[("traceparent", &w3c), ("x-datadog-trace-id", "x")]);
    assert_eq!(propagation.extract(&spoilt).format, Some(Format::W3c));
}
