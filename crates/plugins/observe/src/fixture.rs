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
        workspace: None,
    }));
    x.response.status = 200;
    x.response_source = ResponseSource::Service;
    (x.request_bytes, x.response_bytes) = (100, 200);
    let t = &mut x.latencies;
    (t.start, t.balancer_end, t.first_byte, t.end) = (1, 2_000_001, 32_000_001, 40_000_001);
    x
}

/// A finished session of layer 4 on the same route and service.
pub fn session() -> Exchange {
    let mut x = exchange();
    let of = x.matched.take().unwrap();
    let route = Route { protocols: Protocols::of(&[Protocol::Tcp]), ..(*of.route).clone() };
    let workspace = Some("blue".into());
    x.matched = Some(Rc::new(Matched { route: Arc::new(route), service: of.service.clone(), workspace }));
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

/// A protobuf message, read as its fields are asked for.
pub struct Protobuf(Vec<(u64, Vec<u8>)>);

impl Protobuf {
    pub fn of(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let value = match key & 7 {
                0 => varint(&mut bytes).to_le_bytes().to_vec(),
                1 => take(&mut bytes, 8),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    take(&mut bytes, length)
                }
                5 => take(&mut bytes, 4),
                wire => panic!("wire type {wire}"),
            };
            fields.push((key >> 3, value));
        }
        Protobuf(fields)
    }

    fn all(&self, field: u64) -> impl Iterator<Item = &[u8]> {
        self.0.iter().filter(move |(number, _)| *number == field).map(|(_, value)| &value[..])
    }

    fn last(&self, field: u64) -> &[u8] {
        self.all(field).last().unwrap_or_default()
    }

    pub fn messages(&self, field: u64) -> Vec<Protobuf> {
        self.all(field).map(Protobuf::of).collect()
    }

    pub fn message(&self, field: u64) -> Protobuf {
        Protobuf::of(self.last(field))
    }

    pub fn text(&self, field: u64) -> String {
        String::from_utf8(self.last(field).to_vec()).unwrap()
    }

    pub fn hex(&self, field: u64) -> String {
        self.last(field).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn number(&self, field: u64) -> u64 {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(self.last(field)).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(bytes)
    }

    /// Names and values of OpenTelemetry's attributes, as text.
    pub fn attributes(&self, field: u64) -> std::collections::BTreeMap<String, String> {
        let shown = |value: &Protobuf| match value.0.first() {
            Some((3, _)) => value.number(3).to_string(),
            Some((4, _)) => f64::from_bits(value.number(4)).to_string(),
            _ => value.text(1),
        };
        self.messages(field).iter().map(|pair| (pair.text(1), shown(&pair.message(2)))).collect()
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            break;
        }
    }
    value
}

fn take(bytes: &mut &[u8], length: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken.to_vec()
}
