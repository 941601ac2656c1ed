//! Parser, checks and evaluation against Kong's own engine, the `atc-router` crate: the same texts are accepted, the
//! others are refused in the same words, and the same subjects match.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::hash::{BuildHasher, RandomState};

use atc_router::ast::{Type, Value};
use atc_router::context::{Context, Match};
use atc_router::interpreter::Execute;
use atc_router::semantics::Validate;
use gibbon_expr::{Program, Schema, Subject, parse};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

fn seed(test: &str) -> u64 {
    let given = std::env::var("EXPR_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(test));
    println!("{test}: EXPR_SEED={seed}");
    seed
}

fn schema() -> atc_router::schema::Schema {
    let mut schema = atc_router::schema::Schema::default();
    for name in ["net.protocol", "tls.sni", "http.method", "http.host", "http.path"] {
        schema.add_field(name, Type::String);
    }
    for name in ["http.path.segments.*", "http.headers.*", "http.queries.*"] {
        schema.add_field(name, Type::String);
    }
    for name in ["net.src.port", "net.dst.port", "http.path.segments.len"] {
        schema.add_field(name, Type::Int);
    }
    for name in ["net.src.ip", "net.dst.ip"] {
        schema.add_field(name, Type::IpAddr);
    }
    schema
}

/// What the engine says to a text: nothing, or why it refuses it.
fn verdict_of_engine(text: &str, schema: &atc_router::schema::Schema) -> Result<(), String> {
    let tree = atc_router::parser::parse(text).map_err(|e| e.to_string())?;
    tree.validate(schema)
}

fn verdict(text: &str) -> Result<(), String> {
    parse(text).map_err(|e| e.to_string())?.check(Schema::Http).map_err(|e| e.to_string())
}

const PIECES: [&str; 62] = [
    "http.path",
    "http.host",
    "net.src.port",
    "net.src.ip",
    "http.headers.x_a",
    "unknown.field",
    "http",
    "a1",
    "_x",
    "lower(http.path)",
    "any(http.headers.x)",
    "lower(",
    "any(",
    "upper(http.path)",
    "==",
    "!=",
    "~",
    "^=",
    "=^",
    ">=",
    ">",
    "<=",
    "<",
    "in",
    "not in",
    "contains",
    "not",
    "&&",
    "||",
    "&",
    "|",
    "!",
    "(",
    ")",
    "\"abc\"",
    "\"a\\n\\\"b\"",
    "\"bad\\q\"",
    "\"open",
    "\"(\"",
    "\"[a\"",
    "\"\"",
    "r#\"raw \\d\"#",
    "r#\"open",
    "\"é\"",
    "1",
    "0",
    "0x1f",
    "0x",
    "017",
    "089",
    "-5",
    "-",
    "99999999999999999999",
    "1.2.3.4",
    "1.2.3.400",
    "10.0.0.0/8",
    "10.0.0.1/8",
    "1.2.3.4/40",
    "::1",
    "fe80::/10",
    "fe80::1/10",
    "1:2:3",
];
const BLANKS: [&str; 6] = [" ", " ", " ", "", "\t", "\n"];

/// Mostly sensible sequences with a wrong piece here and there.
fn text(random: &mut Random) -> String {
    let terms: [[&[&str]; 3]; 4] = [
        [
            &["http.path", "lower(http.host)", "any(http.headers.x)"],
            &["==", "!=", "^=", "=^", "contains"],
            &["\"abc\""],
        ],
        [&["http.path", "any(lower(http.queries.q))"], &["~"], &["r#\"^/a\"#", "\"x\\ty\""]],
        [&["net.src.port", "http.path.segments.len"], &["==", "!=", ">", ">=", "<", "<="], &["5", "0x1f", "-017"]],
        [&["net.src.ip"], &["in", "not in"], &["10.0.0.0/8", "fe80::/10"]],
    ];
    let mut pieces: Vec<&str> = Vec::new();
    for term in 0..1 + random.below(3) {
        if term > 0 {
            pieces.push(random.pick(&["&&", "||"]));
        }
        let bracketed = random.below(4) == 0;
        if bracketed {
            pieces.extend([random.pick(&["!", ""]), "("]);
        }
        let term = terms[random.below(4)];
        pieces.extend(term.map(|choices| random.pick(choices)));
        if bracketed {
            pieces.push(")");
        }
    }
    for _ in 0..random.below(4).saturating_sub(1) {
        let at = random.below(pieces.len());
        match random.below(3) {
            0 => pieces[at] = random.pick(&PIECES),
            1 => pieces.insert(at, random.pick(&PIECES)),
            _ => {
                pieces.remove(at);
            }
        }
        if pieces.is_empty() {
            break;
        }
    }
    let mut text = String::new();
    for piece in pieces {
        text.push_str(piece);
        text.push_str(random.pick(&BLANKS));
    }
    // The engine panics on `not  in` with anything but one blank between.
    while let Some(at) = text.find("not").filter(|at| !text[*at..].starts_with("not in")) {
        text.replace_range(at..at + 3, "nix");
    }
    text
}

#[test]
fn texts_are_accepted_and_refused_as_by_the_engine() {
    let base = seed("texts");
    let schema = schema();
    let mut refused = 0;
    const CASES: u64 = 30_000;
    for case in 0..CASES {
        let text = text(&mut Random(base.wrapping_add(case)));
        let expected = verdict_of_engine(&text, &schema);
        refused += u64::from(expected.is_err());
        assert_eq!(verdict(&text), expected, "EXPR_SEED={} {text:?}", base.wrapping_add(case));
    }
    println!("texts: {CASES} cases, {} % refused", refused * 100 / CASES);
    assert!(refused > CASES / 4 && refused < CASES * 9 / 10, "the cases tell too little");
}

#[test]
fn values_match_as_in_the_engine() {
    let base = seed("values");
    let schema = schema();
    let left = ["http.host", "lower(http.host)", "any(http.host)", "lower(any(http.host))"];
    let operators = ["==", "!=", "~", "^=", "=^", "contains"];
    let values = ["abc", "ABC", "", "a", "b", "É", "é", "İ", "ß", "ab.c", "a\nb"];
    let mut matched = 0;
    const CASES: u64 = 20_000;
    for case in 0..CASES {
        let mut random = Random(base.wrapping_add(case));
        let (field, operator) = (random.pick(&left), random.pick(&operators));
        let (own, other) = (random.pick(&values), random.pick(&values));
        let text = format!("{field} {operator} r#\"{own}\"#");
        let tree = atc_router::parser::parse(&text).unwrap();
        let mut context = Context::new(&schema);
        context.add_value("http.host", Value::String(other.to_owned()));
        let expected = tree.execute(&mut context, &mut Match::new());
        let subject = Subject { host: Some(other.as_bytes()), ..Subject::default() };
        let program = Program::new(parse(&text).unwrap(), Schema::Http);
        assert_eq!(program.matches(&subject), expected, "{text} with {other:?}");
        matched += u64::from(expected);
    }
    assert!(matched > CASES / 5, "the cases tell too little");
}
