//! Identities of Microsoft Entra: a client's secret, or the managed identity of the machine.

use super::token::{Token, read_oauth};
use super::{Address, PlaceError, model_segment};
use gibbon_cloud::{TokenError, TokenRequest, form, form_header};

/// What tokens are for: Azure's AI services.
pub const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
const RESOURCE: &str = "https://cognitiveservices.azure.com/";

/// A token for a client that has a secret.
///
/// # Errors
/// The tenant is no path segment.
pub fn client_secret(tenant: &str, client: &str, secret: &str) -> Result<TokenRequest, PlaceError> {
    let tenant = model_segment(tenant)?;
    let address = Address::parse(&format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"))?;
    let body = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("client_secret", secret),
        ("scope", SCOPE),
    ]);
    Ok(TokenRequest { method: "POST", address, headers: vec![form_header()], body })
}

/// A token for the machine's managed identity; `client` chooses among several.
///
/// # Errors
/// None that can happen: the address is constant.
pub fn managed_identity(client: Option<&str>) -> Result<TokenRequest, PlaceError> {
    // The instance metadata service, which every virtual machine reaches at this address.
    let mut address = Address::parse("http://169.254.169.254/metadata/identity/oauth2/token")?;
    address.query.push(("api-version".into(), "2018-02-01".into()));
    address.query.push(("resource".into(), RESOURCE.into()));
    address.query.extend(client.map(|id| ("client_id".to_owned(), id.to_owned())));
    let headers = vec![("Metadata".to_owned(), "true".to_owned())];
    Ok(TokenRequest { method: "GET", address, headers, body: Vec::new() })
}

/// Reads the answer to either.
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

    #[test]
    fn a_client_shows_its_secret_in_the_body_only() {
        let r = client_secret("tenant", "id", "s&cret").unwrap();
        assert_eq!(r.address.target(), "/tenant/oauth2/v2.0/token");
        let body = String::from_utf8(r.body.clone()).unwrap();
        assert!(body.contains("client_secret=s%26cret&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"));
        assert!(!format!("{r:?}").contains("cret"));
        assert!(client_secret("a/b", "id", "s").is_err());
    }

    #[test]
    fn a_machine_asks_its_metadata_service() {
        let r = managed_identity(Some("id")).unwrap();
        assert_eq!(
            r.address.target(),
            "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices.azure.com%2F&client_id=id"
        );
        assert_eq!(r.headers, [("Metadata".to_owned(), "true".to_owned())]);
    }
}
