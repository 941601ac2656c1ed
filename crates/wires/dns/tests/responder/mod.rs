//! A small DNS server on loopback, UDP and TCP on one port, whose zone the test changes as it goes.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket as StdUdp};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

#[derive(Default)]
struct Zone {
    records: HashMap<(String, RecordType), Vec<(u32, RData)>>,
    /// Sent along without being asked.
    additional: Vec<(String, RData)>,
    codes: HashMap<String, ResponseCode>,
    /// Names whose UDP answer is cut short.
    truncated: Vec<String>,
    asked: Vec<String>,
    lying: bool,
}

/// Handle of a running server; it ends with the runtime of the test.
#[derive(Clone)]
pub struct Responder {
    zone: Arc<Mutex<Zone>>,
    pub address: SocketAddr,
}

impl Responder {
    pub async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let responder = Self { zone: Arc::default(), address: udp.local_addr().unwrap() };
        tokio::spawn(responder.clone().serve_udp(udp));
        tokio::spawn(responder.clone().serve_tcp(tcp));
        responder
    }

    pub fn a(&self, name: &str, ttl: u32, ips: &[&str]) {
        self.put(name, RecordType::A, ips.iter().map(|ip| (ttl, RData::A(A(ip.parse().unwrap())))).collect());
    }

    pub fn aaaa(&self, name: &str, ttl: u32, ip: &str) {
        self.put(name, RecordType::AAAA, vec![(ttl, RData::AAAA(AAAA(ip.parse().unwrap())))]);
    }

    pub fn cname(&self, name: &str, ttl: u32, target: &str) {
        self.put(name, RecordType::CNAME, vec![(ttl, RData::CNAME(CNAME(fqdn(target))))]);
    }

    /// Services as (priority, weight, port, target).
    pub fn srv(&self, name: &str, ttl: u32, services: &[(u16, u16, u16, &str)]) {
        let service = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            (ttl, RData::SRV(SRV::new(*priority, *weight, *port, fqdn(target))))
        };
        self.put(name, RecordType::SRV, services.iter().map(service).collect());
    }

    pub fn glue(&self, name: &str, ip: &str) {
        let data = RData::A(A(ip.parse().unwrap()));
        self.zone.lock().unwrap().additional.push((name.into(), data));
    }

    pub fn code(&self, name: &str, code: ResponseCode) {
        self.zone.lock().unwrap().codes.insert(name.into(), code);
    }

    pub fn remove(&self, name: &str) {
        let mut zone = self.zone.lock().unwrap();
        zone.records.retain(|(owner, _), _| owner != name);
        zone.codes.remove(name);
    }

    pub fn truncate(&self, name: &str) {
        self.zone.lock().unwrap().truncated.push(name.into());
    }

    /// From now on every answer over UDP is preceded by forged ones.
    pub fn lie(&self) {
        self.zone.lock().unwrap().lying = true;
    }

    /// Questions so far, as `name TYPE protocol`, and forgets them.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.zone.lock().unwrap().asked)
    }

    fn put(&self, name: &str, kind: RecordType, records: Vec<(u32, RData)>) {
        self.zone.lock().unwrap().records.insert((name.into(), kind), records);
    }

    async fn serve_udp(self, socket: UdpSocket) {
        let mut buffer = [0; 1_500];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let request = Message::from_vec(&buffer[..length]).unwrap();
            if self.zone.lock().unwrap().lying {
                for forged in forgeries(&request) {
                    socket.send_to(&forged, peer).await.unwrap();
                }
            }
            let response = self.answer(&request, "udp").to_vec().unwrap();
            socket.send_to(&response, peer).await.unwrap();
        }
    }

    async fn serve_tcp(self, listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = stream.read_u16().await.unwrap();
            let mut buffer = vec![0; length.into()];
            stream.read_exact(&mut buffer).await.unwrap();
            let response = self.answer(&Message::from_vec(&buffer).unwrap(), "tcp").to_vec().unwrap();
            stream.write_u16(response.len() as u16).await.unwrap();
            stream.write_all(&response).await.unwrap();
        }
    }

    fn answer(&self, request: &Message, protocol: &str) -> Message {
        let mut zone = self.zone.lock().unwrap();
        let query = &request.queries[0];
        let name = query.name().to_ascii().trim_end_matches('.').to_owned();
        zone.asked.push(format!("{name} {} {protocol}", query.query_type()));
        let mut response = Message::response(request.metadata.id, OpCode::Query);
        response.add_query(query.clone());
        if let Some(code) = zone.codes.get(&name) {
            response.metadata.response_code = *code;
            return response;
        }
        if protocol == "udp" && zone.truncated.contains(&name) {
            response.metadata.truncation = true;
            return response;
        }
        let record = |owner: &str, (ttl, data): &(u32, RData)| Record::from_rdata(fqdn(owner), *ttl, data.clone());
        let mut owner = name.clone();
        if query.query_type() != RecordType::CNAME {
            while let Some(alias) = zone.records.get(&(owner.clone(), RecordType::CNAME)) {
                response.add_answers(alias.iter().map(|alias| record(&owner, alias)));
                let RData::CNAME(target) = &alias[0].1 else { break };
                owner = target.0.to_ascii().trim_end_matches('.').to_owned();
            }
        }
        if let Some(records) = zone.records.get(&(owner.clone(), query.query_type())) {
            response.add_answers(records.iter().map(|found| record(&owner, found)));
            response.add_additionals(zone.additional.iter().map(|(owner, data)| record(owner, &(60, data.clone()))));
        } else if !zone.records.keys().any(|(known, _)| *known == name) {
            response.metadata.response_code = ResponseCode::NXDomain;
        }
        response
    }
}

/// Answers that a client must not believe: a wrong id, another question, a question instead of an answer, noise.
fn forgeries(request: &Message) -> Vec<Vec<u8>> {
    let poison = || Record::from_rdata(request.queries[0].name().clone(), 9, RData::A(A("6.6.6.6".parse().unwrap())));
    let mut wrong_id = Message::response(request.metadata.id.wrapping_add(1), OpCode::Query);
    wrong_id.add_query(request.queries[0].clone()).add_answer(poison());
    let mut wrong_question = Message::response(request.metadata.id, OpCode::Query);
    let mut query = request.queries[0].clone();
    query.set_name(fqdn("evil.test"));
    wrong_question.add_query(query).add_answer(poison());
    let mut no_question = Message::response(request.metadata.id, OpCode::Query);
    no_question.add_answer(poison());
    let mut a_question = request.clone();
    a_question.add_answer(poison());
    [wrong_id, wrong_question, no_question, a_question]
        .into_iter()
        .map(|message| message.to_vec().unwrap())
        .chain([vec![0xff; 40], vec![]])
        .collect()
}

/// A port on which nobody ever answers; keep the socket for as long as that shall be so.
pub fn silent() -> (StdUdp, SocketAddr) {
    let socket = StdUdp::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn fqdn(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap()
}
