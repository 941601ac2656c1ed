//! Wire traffic of each dialect (`fixtures/DIALECT/CASE`) and what becomes of it: the canonical
//! form, and every other dialect's. The results lie beside it in `golden/`, to be read in reviews;
//! `GIBBON_BLESS=1` writes them anew.

use gibbon_frames::aws;
use gibbon_llm::canonical::Event;
use gibbon_llm::convert::{self, StreamConverter};
use gibbon_llm::dialect::{Beside, Dialect, Encoded, Framing, Reply, Target};
use gibbon_llm::seen::Seen;
use gibbon_llm::tap::{self, StreamTap};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const FOLDERS: &[(&str, Dialect)] = &[
    ("openai_chat", Dialect::OpenAiChat),
    ("openai_completions", Dialect::OpenAiCompletions),
    ("openai_responses", Dialect::OpenAiResponses),
    ("anthropic", Dialect::Anthropic),
    ("gemini", Dialect::Gemini),
    ("bedrock", Dialect::Bedrock),
    ("cohere", Dialect::Cohere),
    ("ollama", Dialect::Ollama),
];

fn reply() -> Reply {
    Reply {
        id: "made-up-1".into(),
        created: 1_700_000_000,
        model: "asked-for".into(),
        include_usage: true,
        input_estimate: 7,
        array: false,
    }
}

struct Case {
    dir: PathBuf,
    dialect: Dialect,
    wrong: Vec<String>,
}

impl Case {
    fn file(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.dir.join(name)).ok()
    }

    /// Compares a result with the one kept, or keeps it.
    fn golden(&mut self, name: &str, result: &str) {
        let path = self.dir.join("golden").join(name);
        if std::env::var_os("GIBBON_BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, result).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        if kept != result {
            self.wrong.push(format!("{}\n--- kept\n{kept}\n--- now\n{result}", path.display()));
        }
    }

    fn others(&self) -> impl Iterator<Item = (&'static str, Dialect)> + use<> {
        let own = self.dialect;
        FOLDERS.iter().copied().filter(move |(_, d)| *d != own)
    }

    fn run(&mut self) {
        if let Some(body) = self.file("request.json") {
            self.request(&body);
        }
        if let Some(body) = self.file("response.json") {
            self.response(&body);
        }
        for name in ["stream.sse", "stream.json", "stream.ndjson", "stream.aws"] {
            if let Some(body) = self.file(name) {
                let body = if name == "stream.aws" { to_frames(&body) } else { body };
                self.stream(name, &body);
            }
        }
    }

    fn request(&mut self, body: &[u8]) {
        let beside: Value = self.file("beside.json").map_or(Value::Null, |b| serde_json::from_slice(&b).unwrap());
        let beside = Beside { model: beside["model"].as_str().map(str::to_owned), stream: beside["stream"].as_bool() };
        let request = self.dialect.codec().decode_request(body, &beside).unwrap();
        self.golden("request.txt", &format!("{request:#?}\n"));
        for (name, dialect) in self.others() {
            let written = convert::encode(&request, self.dialect, dialect, &Target::default());
            let result = match written {
                Ok(encoded) => show(&encoded),
                Err(e) => json!({"refused": e.to_string()}),
            };
            self.golden(&format!("request.to.{name}.json"), &(pretty(&result) + "\n"));
        }
        // Written in its own dialect it loses nothing.
        let own = self.dialect.codec().encode_request(&request, &Target::default()).unwrap();
        assert!(own.dropped.is_empty(), "{:?} {:?}", self.dir, own.dropped);
        let again = self.dialect.codec().decode_request(&own.body, &beside).unwrap();
        assert_eq!(again, request, "{:?}", self.dir);
    }

    fn response(&mut self, body: &[u8]) {
        let response = self.dialect.codec().decode_response(body).unwrap();
        self.golden("response.txt", &format!("{response:#?}\n"));
        let seen = tap::body(self.dialect, body);
        assert_eq!((&seen.usage, &seen.model), (&response.usage, &response.model), "{:?}", self.dir);
        assert_eq!(seen.finish, response.choices[0].finish, "{:?}", self.dir);
        for (name, dialect) in self.others().filter(|(_, d)| Dialect::CLIENTS.contains(d)) {
            let (_, encoded) = convert::response(self.dialect, dialect, body, &reply()).unwrap();
            self.golden(&format!("response.to.{name}.json"), &(pretty(&show(&encoded)) + "\n"));
        }
    }

    fn stream(&mut self, name: &str, body: &[u8]) {
        let events = decode(self.dialect, &[body]);
        let single: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(decode(self.dialect, &single), events, "{:?} byte by byte", self.dir);
        for cut in 0..=body.len() {
            assert_eq!(decode(self.dialect, &[&body[..cut], &body[cut..]]), events, "{:?} cut at {cut}", self.dir);
        }
        let lines: String = events.iter().map(|e| format!("{e:?}\n")).collect();
        self.golden("stream.txt", &lines);
        self.tapped(name, body, &events);
        for (name, dialect) in self.others().filter(|(_, d)| Dialect::CLIENTS.contains(d)) {
            let mut converter = StreamConverter::new(self.dialect, dialect, reply());
            let mut out = Vec::new();
            converter.push(body, &mut out);
            converter.finish(&mut out);
            let shown = if dialect.codec().framing() == Framing::Aws {
                from_frames(&out)
            } else {
                String::from_utf8(out).unwrap()
            };
            self.golden(&format!("stream.to.{name}.txt"), &shown);
        }
    }

    /// A tap on the same bytes sees what the events say.
    fn tapped(&self, name: &str, body: &[u8], events: &[Event]) {
        let media_type = match name {
            "stream.json" => "application/json",
            "stream.ndjson" => "application/x-ndjson",
            "stream.aws" => "application/vnd.amazon.eventstream",
            _ => "text/event-stream; charset=utf-8",
        };
        let mut tap = StreamTap::new(self.dialect, media_type);
        body.chunks(7).for_each(|c| tap.push(c));
        tap.finish();
        let mut seen = Seen::default();
        events.iter().for_each(|e| seen.event(e));
        let tapped = tap.seen();
        let keep = |s: &Seen| (s.model.clone(), s.usage, s.finish.clone(), s.failure.is_some(), s.ended);
        assert_eq!(keep(tapped), keep(&seen), "{:?}", self.dir);
        // Arguments that come as an object count as they are written, blanks included.
        assert!(tapped.characters.abs_diff(seen.characters) < 4, "{:?}", self.dir);
    }
}

fn decode(dialect: Dialect, pieces: &[&[u8]]) -> Vec<Event> {
    let mut decoder = dialect.codec().stream_decoder();
    let mut out = Vec::new();
    for piece in pieces {
        decoder.push(piece, &mut out).unwrap();
    }
    decoder.finish(&mut out).unwrap();
    out
}

fn show(encoded: &Encoded) -> Value {
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    if encoded.dropped.is_empty() { json!({"body": body}) } else { json!({"body": body, "dropped": encoded.dropped}) }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

/// Lines of `["event", {...}]`, an exclamation mark for exceptions, as AWS event stream.
fn to_frames(lines: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in std::str::from_utf8(lines).unwrap().lines() {
        let (kind, payload): (String, Value) = serde_json::from_str(line).unwrap();
        let payload = payload.to_string();
        let headers = match kind.strip_prefix('!') {
            Some(exception) => [(":exception-type", exception), (":message-type", "exception")],
            None => [(":event-type", kind.as_str()), (":message-type", "event")],
        };
        aws::write(&mut out, &headers, payload.as_bytes()).unwrap();
    }
    out
}

fn from_frames(bytes: &[u8]) -> String {
    let mut out = String::new();
    aws::Splitter::default()
        .push(bytes, |m| {
            let kind = m.text(":event-type").or_else(|| m.text(":exception-type")).unwrap();
            out.push_str(&format!("{kind} {}\n", std::str::from_utf8(m.payload).unwrap()));
        })
        .unwrap();
    out
}

#[test]
fn every_fixture_becomes_what_lies_beside_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut wrong = Vec::new();
    let mut count = 0;
    for (folder, dialect) in FOLDERS {
        let mut dirs: Vec<PathBuf> = fs::read_dir(root.join(folder)).unwrap().map(|e| e.unwrap().path()).collect();
        dirs.sort();
        for dir in dirs {
            let mut case = Case { dir, dialect: *dialect, wrong: Vec::new() };
            case.run();
            wrong.append(&mut case.wrong);
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{} results differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 15, "only {count} fixtures found");
}
