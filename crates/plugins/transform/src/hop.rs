//! Headers that belong to one connection (RFC 9110 7.6.1) and do not go from one to another.

use gibbon_message::Headers;

const HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
];

/// Takes them away, those that `Connection` names included, and the length, which whoever sends the message counts anew.
pub fn strip(headers: &mut Headers) {
    let named: Vec<Vec<u8>> = headers
        .get_all("connection")
        .flat_map(|value| value.split(|&b| b == b','))
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect();
    headers.retain(|name, _| {
        !HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop.as_bytes()))
            && !named.iter().any(|named| name.eq_ignore_ascii_case(named))
    });
}
