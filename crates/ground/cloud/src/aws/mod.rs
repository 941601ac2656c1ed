//! Identities of AWS: keys are given, or fetched from the security token service (assuming a role,
//! with keys or with a web identity), from the container's or from the instance's metadata service.

mod keys;

pub use keys::{Keys, Source, Surroundings};

use serde_json::Value;

use crate::sigv4::{AwsKeys, Signable, sign};
use crate::{Address, AddressError, TokenError, TokenRequest, encode, form, form_header, time};

/// Temporary keys and until when they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemporaryKeys {
    /// The keys.
    pub keys: AwsKeys,
    /// Seconds since 1970.
    pub expires: u64,
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role<'a> {
    /// Its ARN.
    pub arn: &'a str,
    /// What the session is called in AWS's logs.
    pub session: &'a str,
    /// The region whose token service is asked.
    pub region: &'a str,
    /// The token service's address, if not the region's own.
    pub endpoint: Option<&'a str>,
}

impl Role<'_> {
    fn address(&self) -> Result<Address, AddressError> {
        match self.endpoint {
            Some(url) => Address::parse(url),
            None => Address::parse(&format!("https://sts.{}.amazonaws.com/", self.region)),
        }
    }

    fn request(&self, action: &str, more: &[(&str, &str)]) -> Result<TokenRequest, AddressError> {
        let mut fields = vec![
            ("Action", action),
            ("Version", "2011-06-15"),
            ("RoleArn", self.arn),
            ("RoleSessionName", self.session),
        ];
        fields.extend(more);
        Ok(TokenRequest { method: "POST", address: self.address()?, headers: vec![form_header()], body: form(&fields) })
    }

    /// Assumes the role with other keys. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The address is none.
    pub fn assume(&self, keys: &AwsKeys, now: u64) -> Result<TokenRequest, AddressError> {
        let mut request = self.request("AssumeRole", &[])?;
        let signable =
            Signable { method: request.method, address: &request.address, headers: &[], body: &request.body };
        let signed = sign(&signable, keys, self.region, "sts", now);
        request.headers.extend(signed.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Ok(request)
    }

    /// Assumes the role with a web identity, such as the token file of a Kubernetes service account.
    ///
    /// # Errors
    /// The address is none.
    pub fn assume_with_web_identity(&self, token: &str) -> Result<TokenRequest, AddressError> {
        self.request("AssumeRoleWithWebIdentity", &[("WebIdentityToken", token)])
    }
}

/// Reads what the token service answers to either.
///
/// # Errors
/// [`TokenError::Answer`].
pub fn read_sts(body: &[u8]) -> Result<TemporaryKeys, TokenError> {
    let bad = |why: &str| TokenError::Answer { why: why.to_owned() };
    let xml = std::str::from_utf8(body).map_err(|_| bad("no text"))?;
    if let Some(error) = sts_refusal(body) {
        return Err(error);
    }
    let text = |name: &str| element(xml, name).map(str::to_owned).ok_or_else(|| bad(&format!("no {name}")));
    let keys = AwsKeys {
        access: text("AccessKeyId")?,
        secret: text("SecretAccessKey")?,
        session: Some(text("SessionToken")?),
    };
    let expires = time::parse_rfc3339(&text("Expiration")?).ok_or_else(|| bad("no valid Expiration"))?;
    Ok(TemporaryKeys { keys, expires })
}

/// The code in a refusal of the token service, such as `AccessDenied`.
#[must_use]
pub fn sts_refusal(body: &[u8]) -> Option<TokenError> {
    let code = element(std::str::from_utf8(body).ok()?, "Code")?;
    let code: String = code.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    Some(TokenError::Answer { why: format!("error {code}") })
}

/// The text of the first element of this name. The values read here hold no markup.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once("</")?;
    Some(text.trim())
}

/// The instance metadata service, which every instance reaches at this address.
pub const METADATA: &str = "http://169.254.169.254";

/// First of three: a session of the metadata service at `endpoint`, which its version 2 wants. The answer is a
/// token, as text.
///
/// # Errors
/// The endpoint is no URL.
pub fn instance_session(endpoint: &str) -> Result<TokenRequest, AddressError> {
    let address = Address::parse(&format!("{endpoint}/latest/api/token"))?;
    let headers = vec![("X-aws-ec2-metadata-token-ttl-seconds".to_owned(), "21600".to_owned())];
    Ok(TokenRequest { method: "PUT", address, headers, body: Vec::new() })
}

/// Second: the name of the instance's role, as text; third, with that name: its keys. Version 1 of the service knows
/// no session.
///
/// # Errors
/// The name of the role is no path segment.
pub fn instance_role(endpoint: &str, session: Option<&str>, role: Option<&str>) -> Result<TokenRequest, AddressError> {
    let role = role.map(role_segment).transpose()?.unwrap_or_default();
    let address = Address::parse(&format!("{endpoint}/latest/meta-data/iam/security-credentials/{role}"))?;
    let headers = session.map(|s| ("X-aws-ec2-metadata-token".to_owned(), s.to_owned())).into_iter().collect();
    Ok(TokenRequest { method: "GET", address, headers, body: Vec::new() })
}

/// Names of roles are letters, digits and `+=,.@_-` (IAM); anything else could lead to another path.
fn role_segment(name: &str) -> Result<String, AddressError> {
    let ok = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if matches!(name, "" | "." | "..") || !name.chars().all(ok) {
        return Err(AddressError { why: "would hold a name that no role has" });
    }
    let mut out = String::with_capacity(name.len());
    encode(name, &mut out);
    Ok(out)
}

/// The keys of a container, at the address its environment names, with the token it names.
///
/// # Errors
/// The address is none.
pub fn container(url: &str, token: Option<&str>) -> Result<TokenRequest, AddressError> {
    let headers = token.map(|t| ("Authorization".to_owned(), t.trim().to_owned())).into_iter().collect();
    Ok(TokenRequest { method: "GET", address: Address::parse(url)?, headers, body: Vec::new() })
}

/// Reads the keys of an instance or a container.
///
/// # Errors
/// [`TokenError::Answer`].
pub fn read_metadata(body: &[u8]) -> Result<TemporaryKeys, TokenError> {
    let bad = |why: &str| TokenError::Answer { why: why.to_owned() };
    let fields: Value = serde_json::from_slice(body).map_err(|_| bad("no JSON object"))?;
    let text = |name: &str| {
        fields.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| bad(&format!("no {name}")))
    };
    let keys =
        AwsKeys { access: text("AccessKeyId")?, secret: text("SecretAccessKey")?, session: Some(text("Token")?) };
    let expires = time::parse_rfc3339(&text("Expiration")?).ok_or_else(|| bad("no valid Expiration"))?;
    Ok(TemporaryKeys { keys, expires })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn role() -> Role<'static> {
        Role { arn: "arn:aws:iam::1:role/r", session: "gibbon", region: "eu-west-1", endpoint: None }
    }

    #[test]
    fn a_role_is_assumed_by_a_signed_request() {
        let keys = AwsKeys { access: "AK".into(), secret: "s".into(), session: None };
        let r = role().assume(&keys, 1_440_938_160).unwrap();
        assert_eq!(r.address.host, "sts.eu-west-1.amazonaws.com");
        assert_eq!(
            String::from_utf8(r.body).unwrap(),
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=gibbon"
        );
        assert!(r.headers.iter().any(|(n, v)| n == "authorization" && v.contains("/sts/aws4_request")));
        let r = role().assume_with_web_identity("t.o.k").unwrap();
        assert!(r.headers.iter().all(|(n, _)| n != "authorization"));
    }

    #[test]
    fn answers_give_keys_with_an_end() {
        let xml = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>\
            <SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>\
            <Expiration>2024-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let got = read_sts(xml.as_bytes()).unwrap();
        assert_eq!(got.expires, 1_704_067_200);
        assert_eq!(got.keys, AwsKeys { access: "A".into(), secret: "S".into(), session: Some("T".into()) });
        let err = read_sts(b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>").unwrap_err();
        assert_eq!(err.to_string(), "the answer of the token service is not valid: error AccessDenied");
        let json = br#"{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2024-01-01T00:00:00Z"}"#;
        assert_eq!(read_metadata(json).unwrap(), got);
    }

    #[test]
    fn an_instance_is_asked_in_three_steps() {
        assert_eq!(instance_session(METADATA).unwrap().method, "PUT");
        let role = |name| instance_role(METADATA, Some("s"), name);
        assert_eq!(role(None).unwrap().address.path, "/latest/meta-data/iam/security-credentials/");
        assert_eq!(role(Some("web")).unwrap().address.path, "/latest/meta-data/iam/security-credentials/web");
        assert!(role(Some("../x")).is_err());
    }
}
