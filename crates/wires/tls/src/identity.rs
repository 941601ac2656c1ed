//! What a certificate says: names, dates, serial number. For logs, plugins and entity checks; trust is not
//! decided here.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// The readable content of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateDetails {
    /// The subject's common name, the last one if there are several.
    pub common_name: Option<String>,
    /// DNS names of the subject alternative name extension, as written.
    pub dns_names: Vec<String>,
    /// Whether the extension is there at all: if so, the common name is no server name (RFC 6125, 6.4.4).
    pub has_alternative_names: bool,
    /// Subject and issuer as RFC 4514 writes them.
    pub subject: String,
    pub issuer: String,
    /// The serial number in upper-case hexadecimal, without leading zeros.
    pub serial: String,
    /// Validity in seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    /// Whether it may sign certificates (basicConstraints CA).
    pub is_ca: bool,
}

/// Reads a DER certificate; nothing if it is none.
pub fn describe(der: &[u8]) -> Option<CertificateDetails> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let dns_names = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    Some(CertificateDetails {
        common_name: parsed.subject().iter_common_name().last().and_then(|name| name.as_str().ok()).map(str::to_owned),
        dns_names,
        has_alternative_names: alternative.is_some(),
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        serial: hexadecimal(parsed.raw_serial()),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
        is_ca: parsed.is_ca(),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes.iter().skip_while(|byte| **byte == 0) {
        let _ = write!(text, "{byte:02X}");
    }
    text
}
