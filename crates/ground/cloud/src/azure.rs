//! Identities of Microsoft Entra: a client's secret, a token of another issuer that stands for a client (as Kubernetes gives
//! its pods), or the managed identity of the machine.

use crate::token::{Token, read_oauth};
use crate::{Address, AddressError, TokenError, TokenRequest, encode, form, form_header};

/// Where tokens are asked for, unless another cloud's address is named.
pub const AUTHORITY: &str = "https://login.microsoftonline.com";
/// The instance metadata service, which every virtual machine reaches at this address.
pub const METADATA: &str = "http://169.254.169.254";

/// A token for a client that has a secret, good for `resource` (such as `https://vault.azure.net`).
///
/// # Errors
/// The authority is no URL, or the tenant no path segment.
pub fn client_secret(
    authority: &str,
    tenant: &str,
    client: &str,
    secret: &str,
    resource: &str,
) -> Result<TokenRequest, AddressError> {
    token(authority, tenant, client, resource, &[("client_secret", secret)])
}

/// A token for a client that another issuer's token stands for (RFC 7523).
///
/// # Errors
/// As [`client_secret`].
pub fn client_assertion(
    authority: &str,
    tenant: &str,
    client: &str,
    assertion: &str,
    resource: &str,
) -> Result<TokenRequest, AddressError> {
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let proof = [("client_assertion_type", kind), ("client_assertion", assertion)];
    token(authority, tenant, client, resource, &proof)
}

fn token(
    authority: &str,
    tenant: &str,
    client: &str,
    resource: &str,
    proof: &[(&str, &str)],
) -> Result<TokenRequest, AddressError> {
    // A tenant is a UUID or a domain name; anything else could lead to another path.
    if matches!(tenant, "" | "." | "..") || !tenant.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
        return Err(AddressError { why: "would hold a name that no tenant has" });
    }
    let mut path = String::new();
    encode(tenant, &mut path);
    let address = Address::parse(&format!("{}/{path}/oauth2/v2.0/token", authority.trim_end_matches('/')))?;
    let scope = format!("{resource}/.default");
    let mut fields = vec![("grant_type", "client_credentials"), ("client_id", client)];
    fields.extend(proof);
    fields.push(("scope", &scope));
    Ok(TokenRequest { method: "POST", address, headers: vec![form_header()], body: form(&fields) })
}

/// A token for the machine's managed identity; `client` chooses among several, `endpoint` replaces [`METADATA`].
///
/// # Errors
/// The endpoint is no URL.
pub fn managed_identity(
    endpoint: Option<&str>,
    client: Option<&str>,
    resource: &str,
) -> Result<TokenRequest, AddressError> {
    let endpoint = endpoint.unwrap_or(METADATA).trim_end_matches('/');
    let address = Address::parse(&format!("{endpoint}/metadata/identity/oauth2/token"))?;
    let headers = vec![("Metadata".to_owned(), "true".to_owned())];
    Ok(managed(address, headers, "2018-02-01", resource, client))
}

/// A token for the managed identity of an app service, at the address and with the header that its environment names.
///
/// # Errors
/// The endpoint is no URL.
pub fn app_identity(
    endpoint: &str,
    header: &str,
    client: Option<&str>,
    resource: &str,
) -> Result<TokenRequest, AddressError> {
    let headers = vec![("X-IDENTITY-HEADER".to_owned(), header.to_owned())];
    Ok(managed(Address::parse(endpoint)?, headers, "2019-08-01", resource, client))
}

fn managed(
    mut address: Address,
    headers: Vec<(String, String)>,
    version: &str,
    resource: &str,
    client: Option<&str>,
) -> TokenRequest {
    address.query.push(("api-version".into(), version.into()));
    address.query.push(("resource".into(), format!("{resource}/")));
    address.query.extend(client.map(|id| ("client_id".to_owned(), id.to_owned())));
    TokenRequest { method: "GET", address, headers, body: Vec::new() }
}

/// Reads the answer to any of them.
///
/// # Errors
/// [`TokenError::Answer`].
pub fn read(body: &[u8], now: u64) -> Result<Token, TokenError> {
    read_oauth(body, now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const AI: &str = "https://cognitiveservices.azure.com";

    #[test]
    fn a_client_shows_its_secret_in_the_body_only() {
        let r = client_secret(AUTHORITY, "tenant", "id", "s&cret", AI).unwrap();
        assert_eq!(r.address.target(), "/tenant/oauth2/v2.0/token");
        let body = String::from_utf8(r.body.clone()).unwrap();
        assert!(body.contains("client_secret=s%26cret&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"));
        assert!(!format!("{r:?}").contains("cret"));
        assert!(client_secret(AUTHORITY, "a/b", "id", "s", AI).is_err());
    }

    #[test]
    fn a_machine_asks_its_metadata_service() {
        let r = managed_identity(None, Some("id"), AI).unwrap();
        assert_eq!(
            r.address.target(),
            "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices.azure.com%2F&client_id=id"
        );
        assert_eq!(r.headers, [("Metadata".to_owned(), "true".to_owned())]);
    }
}
