//! Reading trace headers. What is malformed is ignored, as if it were not there; nothing of it is logged, since
//! every client can send it.

use gibbon_message::{Headers, uri};
use gibbon_pdk::{SpanId, TraceId};

use super::{Extracted, Format};
use crate::digits::{from_decimal, from_hex, is_hex};

/// Baggage items of a request at most.
const MAX_BAGGAGE: usize = 64;

/// Headers that some format reads. A header that comes twice says nothing certain and counts as empty.
#[derive(Clone, Copy)]
enum Name {
    B3,
    B3Trace,
    B3Span,
    B3Parent,
    B3Sampled,
    B3Flags,
    TraceState,
    TraceParent,
    Jaeger,
    OtTrace,
    OtSpan,
    OtSampled,
    DatadogTrace,
    DatadogParent,
    DatadogPriority,
    Aws,
    Gcp,
    InstanaTrace,
    InstanaSpan,
    InstanaLevel,
}

const NAMES: usize = 20;

impl Name {
    /// By length first: most headers of a request are told apart by it alone.
    fn of(header: &[u8]) -> Option<Name> {
        use Name as N;
        let candidates: &[(&str, Name)] = match header.len() {
            2 => &[("b3", N::B3)],
            10 => &[("tracestate", N::TraceState), ("x-b3-flags", N::B3Flags)],
            11 => &[
                ("traceparent", N::TraceParent),
                ("x-b3-spanid", N::B3Span),
                ("x-instana-t", N::InstanaTrace),
                ("x-instana-s", N::InstanaSpan),
                ("x-instana-l", N::InstanaLevel),
            ],
            12 => &[("x-b3-traceid", N::B3Trace), ("x-b3-sampled", N::B3Sampled)],
            13 => &[("uber-trace-id", N::Jaeger)],
            15 => &[("x-amzn-trace-id", N::Aws)],
            16 => &[("ot-tracer-spanid", N::OtSpan)],
            17 => &[
                ("x-b3-parentspanid", N::B3Parent),
                ("ot-tracer-traceid", N::OtTrace),
                ("ot-tracer-sampled", N::OtSampled),
            ],
            18 => &[("x-datadog-trace-id", N::DatadogTrace)],
            19 => &[("x-datadog-parent-id", N::DatadogParent)],
            21 => &[("x-cloud-trace-context", N::Gcp)],
            27 => &[("x-datadog-sampling-priority", N::DatadogPriority)],
            _ => return None,
        };
        candidates.iter().find(|(name, _)| header.eq_ignore_ascii_case(name.as_bytes())).map(|(_, name)| *name)
    }
}

/// The trace headers of a request.
pub struct Found<'a>([Option<&'a [u8]>; NAMES]);

impl<'a> Found<'a> {
    pub fn among(headers: &'a Headers) -> Self {
        let mut found = [None; NAMES];
        for (name, value) in headers.iter() {
            if let Some(place) = Name::of(name).and_then(|name| found.get_mut(name as usize)) {
                *place = Some(if place.is_none() { value } else { &b""[..] });
            }
        }
        Found(found)
    }

    fn get(&self, name: Name) -> Option<&'a [u8]> {
        self.0.get(name as usize).copied().flatten()
    }

    fn any(&self, names: &[Name]) -> bool {
        names.iter().any(|name| self.get(*name).is_some())
    }
}

/// What one format says; `None` lets the next one be looked for.
pub fn extract(format: Format, found: &Found<'_>, headers: &Headers) -> Option<Extracted> {
    let extracted = match format {
        Format::B3 | Format::B3Single => b3(found),
        Format::W3c => w3c(found),
        Format::Jaeger => jaeger(found, headers),
        Format::Ot => ot(found, headers),
        Format::Datadog => datadog(found),
        Format::Aws => aws(found),
        Format::Gcp => gcp(found),
        Format::Instana => instana(found),
    }?;
    Some(Extracted { format: Some(format), ..extracted })
}

/// A trace id of so many hexadecimal digits; one of zeros is none.
fn trace_of(digits: &[u8]) -> Option<TraceId> {
    from_hex(digits).filter(|id| *id != [0; 16])
}

fn span_of(digits: &[u8]) -> Option<SpanId> {
    from_hex(digits).filter(|id| *id != [0; 8])
}

/// `1` or `true`, `0` or `false`.
fn decision(value: Option<&[u8]>) -> Option<bool> {
    match value? {
        b"1" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

/// Three ids, `None` where one is not well-formed.
type Ids<'a> = Option<(Option<&'a [u8]>, Option<&'a [u8]>, Option<&'a [u8]>)>;

/// Any B3 header, or a `tracestate` (which may carry one), claims the request for B3, even without ids.
fn b3(found: &Found<'_>) -> Option<Extracted> {
    use Name as N;
    if !found.any(&[N::B3, N::TraceState, N::B3Trace, N::B3Span, N::B3Parent, N::B3Sampled, N::B3Flags]) {
        return None;
    }
    let carried = || found.get(N::TraceState).and_then(|state| state.strip_prefix(b"b3="));
    let mut out = Extracted { shares_span: true, ..Extracted::default() };
    let mut ids = (None, None, None);
    if let Some(single) = found.get(N::B3).or_else(carried).filter(|value| !value.is_empty()) {
        out.single_header = true;
        let (sampled, debug, found) = b3_single(single);
        (out.sampled, out.debug) = (sampled, debug);
        ids = found.unwrap_or_default();
    }
    if found.get(N::B3Flags) == Some(b"1") {
        out.debug = true;
        out.sampled = out.sampled.or(Some(true));
    }
    out.sampled = out.sampled.or(decision(found.get(N::B3Sampled)));
    if let Some(several) = b3_several(found) {
        ids = (ids.0.or(several.0), ids.1.or(several.1), ids.2.or(several.2));
    }
    let (trace, span, parent) = ids;
    out.trace = trace.and_then(trace_of);
    if out.trace.is_some() {
        out.trace_size = trace.map_or(0, <[u8]>::len) / 2;
        out.span = span.and_then(span_of);
        out.parent = parent.and_then(span_of);
    }
    Some(out)
}

/// `{trace}-{span}-{sampled}-{parent}`, the last two perhaps absent; or the decision alone.
fn b3_single(value: &[u8]) -> (Option<bool>, bool, Ids<'_>) {
    let flag = |text: &[u8]| match text {
        b"1" => (Some(true), false),
        b"d" => (Some(true), true),
        b"0" => (Some(false), false),
        _ => (None, false),
    };
    if let (Some(sampled), debug) = flag(value) {
        return (Some(sampled), debug, Some((None, None, None)));
    }
    let mut parts = value.split(|byte| *byte == b'-');
    let (trace, span) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if !matches!(trace.len(), 16 | 32) || span.len() != 16 || !is_hex(trace) || !is_hex(span) {
        return (None, false, None);
    }
    let third = parts.next();
    let (sampled, debug, parent) = match third {
        Some(text) if text.len() == 1 => (flag(text).0, flag(text).1, parts.next()),
        // Without a decision the parent comes next.
        other => (None, false, other),
    };
    match parent {
        None => (sampled, debug, Some((Some(trace), Some(span), None))),
        Some(parent) if parent.len() == 16 && is_hex(parent) => {
            (sampled, debug, Some((Some(trace), Some(span), Some(parent))))
        }
        Some(_) => (None, false, None),
    }
}

fn b3_several<'a>(found: &Found<'a>) -> Ids<'a> {
    let well_formed = |name: Name, lengths: &[usize]| match found.get(name) {
        None => Some(None),
        Some(text) if lengths.contains(&text.len()) && is_hex(text) => Some(Some(text)),
        Some(_) => None,
    };
    Some((
        well_formed(Name::B3Trace, &[16, 32])?,
        well_formed(Name::B3Span, &[16])?,
        well_formed(Name::B3Parent, &[16])?,
    ))
}

/// W3C Trace Context, version 00 only.
fn w3c(found: &Found<'_>) -> Option<Extracted> {
    let mut parts = found.get(Name::TraceParent)?.split(|byte| *byte == b'-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let sizes = (version, trace.len(), parent.len(), flags.len(), parts.next());
    if sizes != (b"00", 32, 16, 2, None) {
        return None;
    }
    Some(Extracted {
        trace: Some(trace_of(trace)?),
        trace_size: 16,
        span: Some(span_of(parent)?),
        sampled: Some(from_hex::<1>(flags)? != [0] && from_hex::<1>(flags)?.first()? % 2 == 1),
        ..Extracted::default()
    })
}

/// `{trace}:{span}:{parent}:{flags}`, ids of any length up to theirs.
fn jaeger(found: &Found<'_>, headers: &Headers) -> Option<Extracted> {
    let mut parts = found.get(Name::Jaeger)?.split(|byte| *byte == b':');
    let (trace, span, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed = parts.next().is_none() && [trace, span, parent, flags].into_iter().all(is_hex);
    if !well_formed || trace.len() > 32 || span.len() > 16 || flags.len() > 2 {
        return None;
    }
    Some(Extracted {
        trace: Some(trace_of(trace)?),
        trace_size: trace.len().div_ceil(2),
        span: Some(span_of(span)?),
        parent: span_of(parent),
        shares_span: true,
        sampled: Some(from_hex::<1>(flags)?.first()? % 2 == 1),
        baggage: baggage(headers, b"uberctx-"),
        ..Extracted::default()
    })
}

fn ot(found: &Found<'_>, headers: &Headers) -> Option<Extracted> {
    let sampled = decision(found.get(Name::OtSampled));
    let (trace, span) = (found.get(Name::OtTrace), found.get(Name::OtSpan));
    let trace = trace.filter(|text| matches!(text.len(), 16 | 32) && is_hex(text));
    let spoilt = span.is_some_and(|text| text.len() != 16 || !is_hex(text));
    let id = trace.filter(|_| !spoilt).and_then(trace_of);
    let baggage = baggage(headers, b"ot-baggage-");
    if !found.any(&[Name::OtTrace, Name::OtSpan, Name::OtSampled])
        || (sampled.is_none() && id.is_none() && baggage.is_empty())
    {
        return None;
    }
    Some(Extracted {
        trace: id,
        trace_size: trace.map_or(0, <[u8]>::len) / 2,
        span: id.and(span).and_then(span_of),
        sampled,
        baggage,
        ..Extracted::default()
    })
}

/// Decimal numbers.
fn datadog(found: &Found<'_>) -> Option<Extracted> {
    let sampled = match found.get(Name::DatadogPriority) {
        None => None,
        Some(b"1" | b"2") => Some(true),
        Some(b"0" | b"-1") => Some(false),
        Some(_) => return None,
    };
    let number = |name| found.get(name).and_then(|text| from_decimal(text.trim_ascii()));
    let trace = number(Name::DatadogTrace).filter(|(id, _)| *id != [0; 16]);
    if sampled.is_none() && trace.is_none() {
        return None;
    }
    let span = trace.and(number(Name::DatadogParent)).and_then(|(id, _)| id.last_chunk::<8>().copied());
    Some(Extracted {
        trace: trace.map(|(id, _)| id),
        trace_size: trace.map_or(0, |(_, size)| size),
        span: span.filter(|id| *id != [0; 8]),
        sampled,
        ..Extracted::default()
    })
}

/// `Root=1-{8 digits}-{24 digits};Parent={16 digits};Sampled={0 or 1}` in any order, with anything between.
fn aws(found: &Found<'_>) -> Option<Extracted> {
    let mut out = Extracted::default();
    for pair in found.get(Name::Aws)?.split(|byte| *byte == b';') {
        let mut sides = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (sides.next()?.trim_ascii(), sides.next().unwrap_or_default().trim_ascii());
        match name {
            b"Root" => {
                out.trace = Some(aws_root(value)?);
                out.trace_size = 16;
            }
            b"Parent" if value.len() == 16 => out.span = Some(span_of(value)?),
            b"Sampled" if matches!(value, b"0" | b"1") => out.sampled = Some(value == b"1"),
            b"Parent" | b"Sampled" => return None,
            _ => {}
        }
    }
    (out != Extracted::default()).then_some(out)
}

fn aws_root(value: &[u8]) -> Option<TraceId> {
    let (time, unique) = (value.get(2..10)?, value.get(11..35)?);
    let well_formed = value.len() == 35 && value.starts_with(b"1-") && value.get(10) == Some(&b'-');
    trace_of(&[time, unique].concat()).filter(|_| well_formed)
}

/// `{32 digits}/{decimal number};o={digit}`.
fn gcp(found: &Found<'_>) -> Option<Extracted> {
    let value = found.get(Name::Gcp)?;
    let (trace, rest) = (value.get(..32)?, value.get(32..)?.strip_prefix(b"/")?);
    let mut parts = rest.splitn(2, |byte| *byte == b';');
    let number = parts.next().filter(|number| number.len() <= 20)?;
    let (span, _) = from_decimal(number)?;
    let option = match parts.next() {
        None => None,
        Some(text) => match text.strip_prefix(b"o=")? {
            [digit @ b'0'..=b'9'] => Some(*digit),
            _ => return None,
        },
    };
    if !trace.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    Some(Extracted {
        trace: Some(trace_of(trace)?),
        trace_size: 16,
        span: span.last_chunk::<8>().copied().filter(|id| *id != [0; 8]),
        sampled: Some(option == Some(b'1')),
        ..Extracted::default()
    })
}

/// Trace, span and level; behind the level may stand more, after a comma.
fn instana(found: &Found<'_>) -> Option<Extracted> {
    let digits = |name, most| found.get(name).filter(|text: &&[u8]| text.len() <= most && is_hex(text));
    let (trace, span) = (digits(Name::InstanaTrace, 32), digits(Name::InstanaSpan, 16));
    let sampled = match found.get(Name::InstanaLevel).and_then(|level| level.first()) {
        Some(b'1') => Some(true),
        Some(b'0') => Some(false),
        _ => None,
    };
    let id = trace.and_then(trace_of);
    if id.is_none() && sampled.is_none() {
        return None;
    }
    Some(Extracted {
        trace: id,
        trace_size: trace.map_or(0, |text| text.len().div_ceil(2)),
        span: id.and(span).and_then(span_of),
        sampled,
        ..Extracted::default()
    })
}

fn baggage(headers: &Headers, prefix: &[u8]) -> Vec<(Box<str>, Box<str>)> {
    let item = |(name, value): (&[u8], &[u8])| {
        let (head, key) = name.split_at_checked(prefix.len())?;
        let key = std::str::from_utf8(key).ok().filter(|key| !key.is_empty())?;
        let text = String::from_utf8_lossy(&uri::decode(value, true)).into_owned();
        head.eq_ignore_ascii_case(prefix).then(|| (key.to_ascii_lowercase().into(), text.into()))
    };
    headers.iter().filter_map(item).take(MAX_BAGGAGE).collect()
}
