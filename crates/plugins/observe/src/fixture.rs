//! What tests of this family share: a finished exchange, and a peer that remembers what it was sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gibbon_pdk::{
    Dial, DialTarget, Document, Duplex, Exchange, Matched, OutcallTls, PathHandling, Protocol, Protocols,
    ResponseSource, Route, SendFuture, Service, Timeouts, UpstreamTls,
};
use serde_json::json;
use uuid::Uuid;

/// `GET /x` to service `svc.one` over route `r`, answered with 200.
pub fn exchange() -> Exchange {
    let mut x = gibbon_rig::request("GET /x", &[("Host", "api.test")]);
    let (route, service) = (Uuid::from_bytes([2; 16]), Uuid::from_bytes([3; 16]));
    x.matched = Some(Rc::new(Matched {
        route: Arc::new(Route {
            id: route,
            id_text: route.to_string().into(),
            name: Some("r".into()),
            workspace: Uuid::nil(),
            protocols: Protocols::of(&[Protocol::Http]),
            https_redirect_status_code: 426,
            strip_path: true,
            preserve_host: false,
            path_handling: PathHandling::V0,
            request_buffering: true,
            response_buffering: true,
            service: Some(service),
            document: Document::new(&json!({"id": route.to_string(), "name": "r", "methods": null})),
        }),
        service: Some(Arc::new(Service {
            id: service,
            id_text: service.to_string().into(),
            name: Some("svc.one".into()),
            workspace: Uuid::nil(),
            protocol: Protocol::Http,
            host: "up.test".into(),
            port: 80,
            path: None,
            retries: 5,
            timeouts: Timeouts::default(),
            tls: UpstreamTls::default(),
            document: Document::new(&json!({"id": service.to_string(), "name": "svc.one"})),
        })),
    }));
    x.response.status = 200;
    x.response_source = ResponseSource::Service;
    (x.request_bytes, x.response_bytes) = (100, 200);
    let t = &mut x.latencies;
    (t.start, t.balancer_end, t.first_byte, t.end) = (1, 2_000_001, 32_000_001, 40_000_001);
    x
}

/// Where it was connected to, and what was written.
#[derive(Default)]
pub struct Peer {
    pub targets: Mutex<Vec<DialTarget>>,
    pub written: Arc<Mutex<Vec<String>>>,
}

impl Dial for Peer {
    fn connect(
        &self,
        target: DialTarget,
        _: Option<OutcallTls>,
        _: Duration,
    ) -> SendFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        self.targets.lock().unwrap().push(target);
        let written = self.written.clone();
        Box::pin(async move { Ok(Box::new(Written(written)) as Box<dyn Duplex>) })
    }
}

struct Written(Arc<Mutex<Vec<String>>>);

impl Duplex for Written {
    fn read(&mut self, _: usize) -> SendFuture<'_, std::io::Result<Bytes>> {
        Box::pin(async { Ok(Bytes::new()) })
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> SendFuture<'a, std::io::Result<()>> {
        self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
        Box::pin(async { Ok(()) })
    }

    fn close(&mut self) -> SendFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Logs the exchange, delivers the queue; what the peer was sent.
pub fn sent(
    part: &gibbon_pdk::Part,
    config: serde_json::Value,
    exchanges: &mut [Exchange],
) -> (Vec<DialTarget>, Vec<String>) {
    let rig = gibbon_rig::Rig::new();
    let peer = Arc::new(Peer::default());
    let handler = rig.handler_of(part, config, |build| build.dial = peer.clone());
    for x in exchanges {
        rig.log(&*handler, x);
    }
    rig.queues.get("").deliver().unwrap();
    let (targets, written) = (peer.targets.lock().unwrap().clone(), peer.written.lock().unwrap().clone());
    (targets, written)
}
