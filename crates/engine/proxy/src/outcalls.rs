//! Calls of plugins to HTTP services, noted for tracing. The client that workers hand to plugins looks whether the
//! step under way wants its calls noted; nothing else of a call changes.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use gibbon_pdk::{
    Clock, HttpClient, Instrumentations, Outcall, OutcallError, OutcallRequest, OutcallResponse, SendFuture, SpanKind,
    Trace,
};

/// Calls that are over, with their begin and end.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<(Outcall, u64, u64)>>>);

thread_local! {
    /// Where calls of the step that is being polled are noted.
    static CURRENT: RefCell<Option<Notes>> = const { RefCell::new(None) };
}

/// Where calls are noted, if they are wanted.
pub fn wanted(trace: &Trace) -> Option<Notes> {
    (trace.records(Instrumentations::HTTP_CLIENT) || trace.timing().is_some()).then(Notes::default)
}

/// Runs a step whose calls are noted.
pub async fn noting<T>(notes: Option<&Notes>, step: impl Future<Output = T>) -> T {
    let mut step = pin!(step);
    poll_fn(|context| {
        let Some(notes) = notes else { return step.as_mut().poll(context) };
        let _current = Current::set(notes);
        step.as_mut().poll(context)
    })
    .await
}

/// Makes spans of what was noted, and parts of the timing.
pub fn record(notes: Option<Notes>, trace: &mut Trace) {
    let Some(Notes(calls)) = notes else { return };
    for (call, start, end) in calls.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        if let Some(timing) = trace.timing_mut() {
            timing.add(&["external_http", &destination(&call.url), "http_request"], start, end);
        }
        if trace.records(Instrumentations::HTTP_CLIENT) {
            trace.add(SpanKind::Outcall(Box::new(call)), start, end);
        }
    }
}

/// Scheme, host and port of a URL, the port also where it is the scheme's own.
fn destination(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    let has_port = authority.rsplit(':').next().is_some_and(|port| !port.is_empty() && !port.contains(']'))
        && authority.contains(':')
        && !authority.ends_with(']');
    match (has_port, scheme) {
        (true, _) => format!("{scheme}://{authority}"),
        (false, "https") => format!("{scheme}://{authority}:443"),
        (false, _) => format!("{scheme}://{authority}:80"),
    }
}

/// Ends the noting also when a step panics.
struct Current;

impl Current {
    fn set(notes: &Notes) -> Self {
        CURRENT.set(Some(notes.clone()));
        Current
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// A client whose calls can be noted.
pub struct NotedHttp {
    pub inner: Arc<dyn HttpClient>,
    pub clock: Arc<dyn Clock>,
}

impl HttpClient for NotedHttp {
    fn call(&self, request: OutcallRequest) -> SendFuture<'_, Result<OutcallResponse, OutcallError>> {
        let Some(notes) = CURRENT.with_borrow(Clone::clone) else { return self.inner.call(request) };
        let method = request.method.as_str().into();
        let url = request.url.split(['?', '#']).next().map(without_user).unwrap_or_default();
        Box::pin(async move {
            let start = self.clock.monotonic_ns();
            let answer = self.inner.call(request).await;
            let outcome = answer.as_ref().map(|answer| answer.status).map_err(|error| error.to_string().into());
            let call = Outcall { method, url, outcome };
            let end = self.clock.monotonic_ns();
            notes.0.lock().unwrap_or_else(PoisonError::into_inner).push((call, start, end));
            answer
        })
    }
}

/// The URL without credentials.
fn without_user(url: &str) -> Box<str> {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}").into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use gibbon_message::Method;

    use super::*;

    struct Standing;

    impl Clock for Standing {
        fn wall_ns(&self) -> u64 {
            7
        }

        fn monotonic_ns(&self) -> u64 {
            7
        }
    }

    struct Answering;

    impl HttpClient for Answering {
        fn call(&self, _: OutcallRequest) -> SendFuture<'_, Result<OutcallResponse, OutcallError>> {
            let answer = OutcallResponse { status: 204, headers: Default::default(), body: Default::default() };
            Box::pin(std::future::ready(Ok(answer)))
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn only_calls_of_the_step_are_noted_and_without_secrets() {
        let client = NotedHttp { inner: Arc::new(Answering), clock: Arc::new(Standing) };
        let call = || client.call(OutcallRequest::new(Method::Post, "http://u:p@h.test:81/a@b?key=1"));
        let notes = Notes::default();
        noting(Some(&notes), async { call().await.unwrap() }).await;
        call().await.unwrap();
        noting(None, async { call().await.unwrap() }).await;
        let mut trace = Trace::default();
        trace.begin(Instrumentations::ALL);
        record(Some(notes), &mut trace);
        let expected = Outcall { method: "POST".into(), url: "http://h.test:81/a@b".into(), outcome: Ok(204) };
        assert_eq!(trace.spans().len(), 1);
        assert_eq!(trace.spans()[0].kind, SpanKind::Outcall(Box::new(expected)));
    }
}
