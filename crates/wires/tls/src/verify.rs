//! Decides whether a peer's certificate is trusted: chain, depth, dates, usage and name, by the rules
//! OpenSSL applies where they are sound, so that certificates that work elsewhere work here.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, VerifiedPath};

use crate::client::{IpSubject, Verify};
use crate::direct;
use crate::identity::{CertificateDetails, describe};
use crate::trust::TrustStore;

#[derive(Debug)]
pub(crate) struct ServerVerifier {
    verify: Verify,
}

impl ServerVerifier {
    pub(crate) fn new(verify: Verify) -> Self {
        Self { verify }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Verify::On { trust, depth, ip_subject } = &self.verify {
            let details = trusted(trust, *depth, Usage::Server, leaf, intermediates, now)?;
            belongs_to(name, *ip_subject, leaf, &details)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crate::signature::verify_tls12(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crate::signature::verify_tls13(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crate::signature::schemes()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the certificate chain has more than {0} intermediate certificates")]
struct TooDeep(u32);

/// A certificate that is itself in the trusted set needs no issuer, only to be in force. Self-made
/// certificates are trusted this way; they are often marked as authorities, which path building refuses.
pub(crate) fn in_force(details: &CertificateDetails, now: UnixTime) -> Result<(), Error> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < details.not_before {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > details.not_after {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Server,
    Client,
}

/// Whether a set of authorities vouches for a certificate: what it says of itself if so.
pub(crate) fn trusted(
    trust: &TrustStore,
    depth: u32,
    usage: Usage,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<CertificateDetails, Error> {
    let details = describe(leaf).ok_or(CertificateError::BadEncoding)?;
    if trust.contains(leaf) {
        in_force(&details, now)?;
    } else {
        chains_to(trust, depth, usage, leaf, intermediates, now)?;
    }
    Ok(details)
}

fn chains_to(
    trust: &TrustStore,
    depth: u32,
    usage: Usage,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Error> {
    let parsed = match EndEntityCert::try_from(leaf) {
        Err(webpki::Error::UnsupportedCertVersion) if direct::issued(trust, leaf, usage, now) => return Ok(()),
        parsed => parsed.map_err(refusal)?,
    };
    let within_depth = |path: &VerifiedPath<'_>| {
        let count = u32::try_from(path.intermediate_certificates().count()).unwrap_or(u32::MAX);
        if count > depth { Err(webpki::Error::MaximumPathDepthExceeded) } else { Ok(()) }
    };
    let verdict = parsed.verify_for_usage(
        crate::signature::supported().all,
        trust.anchors(),
        intermediates,
        now,
        match usage {
            Usage::Server => webpki::KeyUsage::server_auth(),
            Usage::Client => webpki::KeyUsage::client_auth(),
        },
        None,
        Some(&within_depth),
    );
    match verdict {
        Ok(_) => Ok(()),
        Err(webpki::Error::CaUsedAsEndEntity) if direct::issued(trust, leaf, usage, now) => Ok(()),
        Err(webpki::Error::MaximumPathDepthExceeded) => {
            Err(CertificateError::Other(OtherError(Arc::new(TooDeep(depth)))).into())
        }
        Err(other) => Err(refusal(other)),
    }
}

fn belongs_to(
    name: &ServerName<'_>,
    ip_subject: IpSubject,
    leaf: &CertificateDer<'_>,
    details: &CertificateDetails,
) -> Result<(), Error> {
    let not_for_name = || Error::from(CertificateError::NotValidForName);
    match name {
        ServerName::IpAddress(address) if ip_subject == IpSubject::AsDnsName => {
            let address = std::net::IpAddr::from(*address).to_string();
            let named = details.dns_names.contains(&address)
                || !details.has_alternative_names && details.common_name.as_deref() == Some(&address);
            if named { Ok(()) } else { Err(not_for_name()) }
        }
        ServerName::DnsName(wanted) if !details.has_alternative_names => {
            // Certificates without the extension are matched by common name: RFC 6125, 6.4.4, as OpenSSL does.
            let common = details.common_name.as_deref().ok_or_else(not_for_name)?;
            if matches_pattern(common, wanted.as_ref()) { Ok(()) } else { Err(not_for_name()) }
        }
        _ => {
            let leaf = EndEntityCert::try_from(leaf).map_err(refusal)?;
            leaf.verify_is_valid_for_subject_name(name).map_err(refusal)
        }
    }
}

/// Compares a name with a common name, which may have `*` as its whole first label.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) if parent.contains('.') => {
            name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent))
        }
        Some(_) => false,
        None => pattern.eq_ignore_ascii_case(name),
    }
}

/// The library's own mapping from path building errors to certificate errors is private; these are the ones
/// with an alert of their own.
fn refusal(error: webpki::Error) -> Error {
    use webpki::Error as W;
    match error {
        W::CertExpired { .. } => CertificateError::Expired.into(),
        W::CertNotValidYet { .. } => CertificateError::NotValidYet.into(),
        W::CertNotValidForName(_) => CertificateError::NotValidForName.into(),
        W::UnknownIssuer => CertificateError::UnknownIssuer.into(),
        W::BadDer | W::BadDerTime | W::TrailingData(_) => CertificateError::BadEncoding.into(),
        W::InvalidSignatureForPublicKey => CertificateError::BadSignature.into(),
        other => CertificateError::Other(OtherError(Arc::new(other))).into(),
    }
}
