//! One corpus of odd and malformed requests, given to this server, to hyper and (where it is installed)
//! to nginx. Whatever they answer differently is listed here with its reason; anything else fails.

pub mod corpus;

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use corpus::CORPUS;

use crate::rig::talk;

/// What a server made of an input: the statuses of its answers, in order; `cut` if it closed without any.
type Verdict = String;

pub struct Case {
    pub input: &'static str,
    ours: &'static str,
    /// What hyper and nginx answer instead, if it differs, and why ours is right.
    hyper: Option<&'static str>,
    nginx: Option<&'static str>,
    why: &'static str,
}

const fn same(input: &'static str, ours: &'static str) -> Case {
    Case { input, ours, hyper: None, nginx: None, why: "" }
}

const fn differs(
    input: &'static str,
    ours: &'static str,
    hyper: Option<&'static str>,
    nginx: Option<&'static str>,
    why: &'static str,
) -> Case {
    Case { input, ours, hyper, nginx, why }
}

fn statuses(output: &str) -> Verdict {
    let found: Vec<_> = output
        .match_indices("HTTP/1.")
        .filter_map(|(at, _)| output.get(at + 9..at + 12))
        .filter(|status| status.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    if found.is_empty() { "cut".to_string() } else { found.join(" ") }
}

async fn exchange(mut io: impl AsyncRead + AsyncWrite + Unpin, input: &str) -> Verdict {
    let _ = io.write_all(input.as_bytes()).await;
    let _ = io.shutdown().await;
    let mut output = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), io.read_to_end(&mut output)).await;
    statuses(&String::from_utf8_lossy(&output))
}

async fn hyper_answers(input: &str) -> Verdict {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
        let status = if request.into_body().collect().await.is_ok() { 200 } else { 400 };
        let mut response = hyper::Response::new(Full::<bytes::Bytes>::default());
        *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
        Ok::<_, Infallible>(response)
    });
    tokio::task::spawn_local(async move {
        let mut server = hyper::server::conn::http1::Builder::new();
        let _ = server.half_close(true).serve_connection(TokioIo::new(theirs), service).await;
    });
    exchange(ours, input).await
}

/// A real nginx on a socket in a directory of its own.
struct Nginx {
    process: Child,
    directory: PathBuf,
}

impl Nginx {
    fn start() -> Option<Self> {
        let directory = std::env::temp_dir().join(format!("gibbon-differential-{}", std::process::id()));
        std::fs::create_dir_all(&directory).ok()?;
        let at = directory.display();
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\n\
             events {{}}\n\
             http {{ access_log off; underscores_in_headers on; client_body_temp_path {at}/body;\n\
             proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi;\n\
             scgi_temp_path {at}/scgi;\n\
             server {{ listen unix:{at}/socket; location / {{ return 200; }} }} }}\n"
        );
        std::fs::write(directory.join("nginx.conf"), config).ok()?;
        let process = Command::new("nginx")
            .arg("-p")
            .arg(&directory)
            .arg("-c")
            .arg(directory.join("nginx.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Nginx { process, directory })
    }

    async fn answers(&self, input: &str) -> Verdict {
        let socket = self.directory.join("socket");
        for _ in 0..500 {
            if let Ok(io) = UnixStream::connect(&socket).await {
                return exchange(io, input).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nginx does not come up");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Real sockets need a clock that does not jump.
fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} verdicts are not as listed:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn ours_and_hyper_answer_as_listed() {
    run(async {
        let mut wrong = Vec::new();
        for case in CORPUS {
            let ours = statuses(&talk(case.input).await.0);
            if ours != case.ours {
                wrong.push(format!("ours {ours:?}, listed {:?}: {:?}", case.ours, case.input));
            }
            let hyper = hyper_answers(case.input).await;
            if hyper != case.hyper.unwrap_or(case.ours) {
                wrong.push(format!("hyper {hyper:?}, ours {ours:?}: {:?}", case.input));
            }
        }
        report(&wrong);
    });
}

#[test]
fn nginx_answers_as_listed() {
    run(async {
        let Some(nginx) = Nginx::start() else {
            eprintln!("nginx is not installed: nothing to compare with");
            return;
        };
        let mut wrong = Vec::new();
        for case in CORPUS {
            let verdict = nginx.answers(case.input).await;
            if verdict != case.nginx.unwrap_or(case.ours) {
                wrong.push(format!("nginx {verdict:?}, ours {:?}: {:?}", case.ours, case.input));
            }
        }
        report(&wrong);
    });
}

#[test]
fn every_difference_has_a_reason() {
    for case in CORPUS {
        let differs = case.hyper.is_some() || case.nginx.is_some();
        assert_eq!(differs, !case.why.is_empty(), "{:?}", case.input);
    }
}
