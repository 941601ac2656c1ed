//! The account's key where people keep it themselves: a `keys` entity with a private half, in PEM or as a JWK.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gibbon_pdk::{Entities, EntityKey, Store};
use serde_json::Value;
use uuid::Uuid;

use super::authority::AcmeError;
use super::jws::AccountKey;

/// Which entity it is.
pub struct GivenKey {
    pub kid: String,
    /// The name of its set; a key in a set is not found without.
    pub set: Option<String>,
    /// Where both are looked for.
    pub workspace: Uuid,
}

impl GivenKey {
    /// The key as it is now.
    ///
    /// # Errors
    /// When it cannot be had, or is no RSA key with a private half.
    pub async fn load(&self, store: &dyn Store) -> Result<AccountKey, AcmeError> {
        let entities = store.entities().ok_or_else(|| self.fault("entities cannot be read yet"))?;
        let set = match &self.set {
            None => String::new(),
            Some(name) => {
                let key = EntityKey::Unique { field: "name".to_owned(), value: name.clone() };
                let set = self.find(entities, "key_sets", key).await?;
                set.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
        };
        let key = EntityKey::Cache(format!("keys:{}:{set}::::", self.kid));
        let key = self.find(entities, "keys", key).await?;
        let pem = private_half(&key).ok_or_else(|| self.fault("it has no private half of an RSA key"))?;
        Ok(AccountKey::from_pem(&pem)?)
    }

    async fn find(&self, entities: &dyn Entities, kind: &str, key: EntityKey) -> Result<Value, AcmeError> {
        let found = entities.select(self.workspace, kind.to_owned(), key).await;
        let found = found.map_err(|why| self.fault(&why.to_string()))?;
        found.ok_or_else(|| self.fault(&format!("there is no such entity in '{kind}'")))
    }

    fn fault(&self, why: &str) -> AcmeError {
        AcmeError::GivenKey { kid: self.kid.clone(), why: why.to_owned() }
    }
}

fn private_half(key: &Value) -> Option<String> {
    if let Some(pem) = key.get("pem").and_then(|pem| pem.get("private_key")?.as_str()) {
        return Some(pem.to_owned());
    }
    let jwk: Value = serde_json::from_str(key.get("jwk")?.as_str()?).ok()?;
    // RFC 8017 A.1.2: the version, which is zero, and the numbers in this order.
    let mut numbers = integer(&[0]);
    for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
        numbers.extend(integer(&URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()?));
    }
    let der = STANDARD.encode(tagged(0x30, &numbers));
    Some(format!("-----BEGIN RSA PRIVATE KEY-----\n{der}\n-----END RSA PRIVATE KEY-----\n"))
}

/// A number that is not negative, in DER.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = bytes.get(start..).unwrap_or_default();
    let mut content = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|first| *first >= 0x80) {
        content.push(0);
    }
    content.extend_from_slice(digits);
    tagged(2, &content)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=127 => out.push(short as u8),
        _ => {
            out.push(0x80 | digits.len() as u8);
            out.extend(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
    use serde_json::json;
    use x509_parser::der_parser::parse_der;

    /// The numbers of an RSA key, out of its PKCS #8 form.
    fn jwk_of(pair: &KeyPair) -> Value {
        let der = pair.serialize_der();
        let outer = parse_der(&der).unwrap().1;
        let inner = outer.as_sequence().unwrap().last().unwrap().as_slice().unwrap().to_vec();
        let numbers = parse_der(&inner).unwrap().1;
        let number = |at: usize| {
            let bytes = numbers.as_sequence().unwrap()[at].as_slice().unwrap().to_vec();
            let start = bytes.iter().position(|byte| *byte != 0).unwrap();
            URL_SAFE_NO_PAD.encode(&bytes[start..])
        };
        let names = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
        names.iter().enumerate().map(|(at, name)| ((*name).to_owned(), json!(number(at + 1)))).collect()
    }

    #[test]
    fn a_key_is_the_same_in_pem_and_as_a_jwk() {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let print = |key: Value| AccountKey::from_pem(&private_half(&key).unwrap()).unwrap().thumbprint();
        let as_pem = json!({"kid": "k", "pem": {"private_key": pair.serialize_pem()}});
        let as_jwk = json!({"kid": "k", "pem": null, "jwk": jwk_of(&pair).to_string()});
        assert_eq!(print(as_pem), print(as_jwk));
    }

    #[test]
    fn public_halves_and_keys_of_other_kinds_are_of_no_use() {
        for key in [
            json!({"pem": {"public_key": "-----BEGIN PUBLIC KEY-----"}}),
            json!({"jwk": json!({"kty": "RSA", "n": "AQ", "e": "AQ"}).to_string()}),
            json!({"jwk": json!({"kty": "oct", "k": "AQ"}).to_string()}),
            json!({"jwk": "no JSON"}),
        ] {
            assert!(private_half(&key).is_none(), "{key}");
        }
    }
}
