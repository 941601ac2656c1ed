//! The interfaces as HTTP servers: sockets, TLS, heads and bodies. What is answered is decided in `call`.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gibbon_net::{BoundSocket, Counters, Listener, PeerAddress, Socket, Stream, TlsArrival, accept_tls};
use gibbon_store::gather;
use gibbon_tls::{ClientRule, ClientVerdict, ServerTls};
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access::{Call, CallLog};
use crate::answer::{Answer, Content};
use crate::audit::Witness;
use crate::call;
use crate::rbac::Identity;
use crate::routes::{Action, Hand, segments};
use crate::{Admin, Surface, body};

/// Time for a request's head, so that half-open clients end.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// Time for a request's body.
const BODY_TIME: Duration = Duration::from_secs(60);

/// How long a connection without a request under way may bring a last one when its listener retires: one that closes
/// just when its client sends a request looks like a failure.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// A socket the interface listens on.
pub struct AdminListener {
    pub socket: BoundSocket,
    pub tls: Option<ServerTls>,
    /// What is asked of callers' certificates.
    pub clients: Option<ClientRule>,
    pub surface: Surface,
    /// Where calls are written down; `None` if nowhere.
    pub log: Option<CallLog>,
    /// Turns true when no more connections are to be taken.
    pub retire: watch::Receiver<bool>,
}

/// Serves one listener until it is to retire and its last connection has ended. Call it on the control runtime.
pub async fn serve(admin: Arc<Admin>, listener: AdminListener) -> std::io::Result<()> {
    let counters = Arc::new(Counters::default());
    let AdminListener { socket, tls, clients, surface, log, mut retire } = listener;
    let accepting = Listener::new(socket, None, Arc::clone(&counters))?;
    let mut open = JoinSet::new();
    loop {
        let socket = tokio::select! {
            socket = accepting.accept() => socket?,
            Some(_) = open.join_next() => continue,
            () = retired(&mut retire) => break,
        };
        let (tls, clients) = (tls.clone(), clients.clone());
        let (counters, retire) = (Arc::clone(&counters), retire.clone());
        let peer = match socket.peer() {
            PeerAddress::Ip(address) => Some(address),
            PeerAddress::Unix => None,
        };
        let mut caller = Caller { admin: Arc::clone(&admin), surface, peer, log: log.clone(), refused: None };
        open.spawn(async move {
            if let Some(stream) = arrive(socket, tls, &counters).await {
                caller.refused = clients.and_then(|rule| refused(&rule, &stream));
                converse(Arc::new(caller), stream, retire).await;
            }
        });
    }
    drop(accepting);
    while open.join_next().await.is_some() {}
    Ok(())
}

/// Who calls on a connection, and what.
struct Caller {
    admin: Arc<Admin>,
    surface: Surface,
    peer: Option<SocketAddr>,
    log: Option<CallLog>,
    /// What they are told, whatever they ask, because their certificate is not accepted.
    refused: Option<&'static str>,
}

/// In nginx's words.
fn refused(rule: &ClientRule, stream: &Stream) -> Option<&'static str> {
    let chain: Vec<Vec<u8>> =
        stream.tls_info().map(|info| info.peer_certificates().map(<[u8]>::to_vec).collect()).unwrap_or_default();
    let verdict = rule.verdict(&chain);
    let told = match verdict {
        ClientVerdict::NoneShown => "No required SSL certificate was sent",
        _ => "The SSL certificate error",
    };
    rule.refuses(verdict).then_some(told)
}

/// Waits until the listener is to retire; for ever if nobody can say so any more.
async fn retired(retire: &mut watch::Receiver<bool>) {
    if retire.wait_for(|retire| *retire).await.is_err() {
        std::future::pending().await
    }
}

async fn arrive(socket: Socket, tls: Option<ServerTls>, counters: &Counters) -> Option<Stream> {
    match tls {
        None => Some(Stream::Plain(socket)),
        Some(tls) => match accept_tls(socket, &tls, counters).await {
            Ok(TlsArrival::Tls(stream)) => Some(stream),
            // Plain HTTP on a TLS port.
            Ok(TlsArrival::Plain(_)) | Err(_) => None,
        },
    }
}

async fn converse(caller: Arc<Caller>, stream: Stream, mut retire: watch::Receiver<bool>) {
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let retiring = retire.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (caller, retiring) = (Arc::clone(&caller), retiring.clone());
        async move {
            let version = request.version();
            let mut response = caller.respond(request).await;
            if *retiring.borrow() && version < Version::HTTP_2 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let last_request_over = async {
        retired(&mut retire).await;
        tokio::time::sleep(LAST_REQUEST).await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = last_request_over => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "admin", "connection ended: {error}");
    }
}

impl Caller {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let began = Instant::now();
        let (head, incoming) = request.into_parts();
        let answer = match self.surface {
            _ if let Some(told) = self.refused => Answer::bad(told).with_header("connection", "close"),
            Surface::Admin => self.admin.admit(&head, self.peer.map(|peer| peer.ip()), incoming).await,
            surface => self.admin.handle(surface, &head, incoming, &mut Witness::default()).await,
        };
        let mut response = render(answer, head.version);
        let headers = response.headers_mut();
        let mut put = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        let origin = head.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
        put("access-control-allow-origin", self.admin.origins.allowed(origin));
        put("access-control-allow-credentials", "true".into());
        if self.admin.latency {
            put("x-kong-admin-latency", began.elapsed().as_millis().to_string());
        }
        put("server", self.admin.server_token.clone());
        if let Some(log) = &self.log {
            log.write(&Call::new(&head, &response, self.peer, began.elapsed()));
        }
        response
    }
}

impl Admin {
    /// Answers a call of the Admin API: finds out who calls, and writes down what they did.
    async fn admit(&self, head: &http::request::Parts, peer: Option<IpAddr>, incoming: Incoming) -> Answer {
        let mut witness = Witness::default();
        let (answer, changes) = match self.identified(head).await {
            Ok(identity) => {
                witness.identity = identity;
                gather(self.handle(Surface::Admin, head, incoming, &mut witness)).await
            }
            // The body is not read for strangers, so that the connection cannot be used again.
            Err(answer) => (answer.with_header("connection", "close"), Vec::new()),
        };
        self.own_what_was_made(&witness, &changes).await;
        self.hooks.tell_of_changes(&self.documents, &changes).await;
        self.audit.record(&self.documents, head, peer, &witness, answer.status, &changes).await;
        answer
    }

    /// Who calls. Two kinds of calls show no token: what browsers ask before they call, which is answered to strangers
    /// without a look at anything; and registering, which shows an invitation instead.
    async fn identified(&self, head: &http::request::Parts) -> Result<Option<Arc<Identity>>, Answer> {
        if self.guard.is_on() && is_invitation(head) {
            return Ok(None);
        }
        match self.guard.identify(&self.documents, &head.headers).await {
            Err(answer) if head.method == Method::OPTIONS && answer.status == StatusCode::UNAUTHORIZED => {
                Err(options(ANY_VERB, &head.headers))
            }
            other => other.map(|identity| identity.map(Arc::new)),
        }
    }

    async fn handle(
        &self,
        surface: Surface,
        head: &http::request::Parts,
        incoming: Incoming,
        witness: &mut Witness,
    ) -> Answer {
        // Read whatever the answer: a connection with a body left in it could not be used again.
        let bytes = match self.read(incoming).await {
            Ok(bytes) => bytes,
            Err(answer) => return answer.with_header("connection", "close"),
        };
        let identity = witness.identity.clone();
        let to = match self.destination(surface, head.uri.path()).await {
            Ok(to) => to,
            Err(answer) => return answer,
        };
        let Some(to) = to else {
            let path: Vec<String> = segments(head.uri.path()).map(call::decoded).collect();
            let allowed = identity.map_or(Ok(()), |who| who.demand(call::DEFAULT_WORKSPACE, &path, &head.method));
            return match allowed {
                Ok(()) => self.by_plugin(surface, head, bytes).await,
                Err(answer) => answer,
            };
        };
        witness.workspace = Some(to.workspace);
        if head.method == Method::OPTIONS {
            return options(&to.route.allow(), &head.headers);
        }
        if let Some(who) = &identity
            && let Err(answer) = who.demand(to.governed_by(&head.method), &to.path, &head.method)
        {
            return answer;
        }
        if !to.route.takes(&head.method) {
            return Answer::method_not_allowed();
        }
        let takes_yaml = matches!(to.route.action, Action::Hand(Hand::Config));
        match body::of(head, bytes, takes_yaml) {
            Ok(body) => {
                // Keys are not written down, in whichever field they come.
                let holds_keys = matches!(to.route.action, Action::Hand(Hand::KeyringImport | Hand::KeyringRecover));
                if self.audit.is_on() && !holds_keys {
                    witness.payload = Some(body.clone());
                }
                let query = head.uri.query().unwrap_or_default();
                let request = call::Request { method: head.method.clone(), query, identity };
                self.answer(surface, &request, to, body).await
            }
            Err(answer) => answer,
        }
    }

    async fn read(&self, incoming: Incoming) -> Result<Bytes, Answer> {
        let limited = Limited::new(incoming, self.max_body);
        match tokio::time::timeout(BODY_TIME, limited.collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Err(Answer::message(StatusCode::PAYLOAD_TOO_LARGE, "request body too large"))
            }
            Ok(Err(_)) => Err(Answer::bad("the request body ended early")),
            Err(_) => Err(Answer::message(StatusCode::REQUEST_TIMEOUT, "the request body took too long")),
        }
    }
}

/// What strangers are told that any path may take.
const ANY_VERB: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

/// Whether the call is the one that shows an invitation instead of a token.
fn is_invitation(head: &http::request::Parts) -> bool {
    let path: Vec<String> = segments(head.uri.path()).map(call::decoded).collect();
    head.method == Method::POST && path == ["admins", "register"]
}

/// What browsers ask before they call.
fn options(allow: &str, headers: &HeaderMap) -> Answer {
    let wished = headers.get("access-control-request-headers").and_then(|value| value.to_str().ok());
    Answer::no_content()
        .with_header("allow", allow)
        .with_header("access-control-allow-methods", allow)
        .with_header("access-control-allow-headers", wished.unwrap_or("Content-Type"))
}

const JSON: &str = "application/json; charset=utf-8";

fn render(answer: Answer, version: Version) -> Response<Full<Bytes>> {
    let (body, media_type) = match answer.content {
        Content::Nothing => (Bytes::new(), None),
        Content::Json(value) => (serde_json::to_vec(&value).unwrap_or_default().into(), Some(JSON)),
        Content::Written(text) => (Bytes::from(text), Some(JSON)),
        Content::Text { media_type, text } => (Bytes::from(text), Some(media_type)),
    };
    let length = body.len();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    match version {
        Version::HTTP_11 => {
            headers.entry(CONNECTION).or_insert(HeaderValue::from_static("keep-alive"));
        }
        // HTTP/2 has no such header (RFC 9113 section 8.2.2).
        _ => drop(headers.remove(CONNECTION)),
    }
    response
}
