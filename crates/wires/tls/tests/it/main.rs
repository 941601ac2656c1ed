//! Whole handshakes: against ourselves over memory, and against OpenSSL's own programs over sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authority;
mod openssl;
mod resumption;
mod serving;
mod verifying;

use std::sync::{Arc, Mutex};

use gibbon_tls::{
    Accepted, Certificate, CertificateSource, ClientHello, ClientStream, ClientTls, ClientTlsSettings, HandshakeError,
    ServerName, ServerStream, ServerTls, ServerTlsSettings,
};
use tokio::io::DuplexStream;

/// Answers by a closure and remembers every greeting.
pub struct Source<F> {
    answer: F,
    pub greetings: Mutex<Vec<ClientHello>>,
}

impl<F> Source<F>
where
    F: Fn(&ClientHello) -> Option<Certificate> + Send + Sync + 'static,
{
    pub fn new(answer: F) -> Arc<Self> {
        Arc::new(Self { answer, greetings: Mutex::default() })
    }
}

impl<F> CertificateSource for Source<F>
where
    F: Fn(&ClientHello) -> Option<Certificate> + Send + Sync,
{
    fn certificate(&self, hello: &ClientHello) -> Option<Certificate> {
        self.greetings.lock().unwrap().push(hello.clone());
        (self.answer)(hello)
    }
}

pub fn always(certificate: &Certificate) -> Arc<dyn CertificateSource> {
    let certificate = certificate.clone();
    Source::new(move |_| Some(certificate.clone()))
}

pub fn server(certificate: &Certificate) -> ServerTls {
    ServerTls::new(&ServerTlsSettings::default(), always(certificate)).unwrap()
}

pub fn client(settings: ClientTlsSettings) -> ClientTls {
    ClientTls::new(&settings).unwrap()
}

pub fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

pub type Ends =
    (Result<ServerStream<DuplexStream>, HandshakeError>, Result<ClientStream<DuplexStream>, HandshakeError>);

/// Makes a handshake over memory and returns what each side thinks of it.
pub async fn handshake(server: &ServerTls, client: &ClientTls, name: &ServerName) -> Ends {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (accepted, connected) = tokio::join!(server.accept(near), client.connect(name, far));
    let accepted = accepted.map(|accepted| match accepted {
        Accepted::Tls(stream) => stream,
        Accepted::Plain { .. } => panic!("the client did not speak TLS"),
    });
    (accepted, connected)
}
