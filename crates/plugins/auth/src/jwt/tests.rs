//! What `jwt` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gibbon_pdk::{Clock as _, Handler};
use serde_json::{Value, json};

use super::PART;
use crate::rig::{Rig, id, request, shown, upstream};

const SECRET: &str = "a shared secret";

fn given(config: Value) -> (Rig, Arc<dyn Handler>) {
    let rig = Rig::default();
    let jo = rig.consumer(1, "jo");
    rig.credential("jwt_secrets", 11, jo, "key", &[("algorithm", "HS256"), ("secret", SECRET)]);
    rig.consumer(2, "anon");
    let handler = rig.handler(&PART, config);
    (rig, handler)
}

fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn with_secret(algorithm: hmac::Algorithm, secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(algorithm, secret);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

/// A token of the credential `key`.
fn token(claims: &Value) -> String {
    signed(&json!({"alg": "HS256", "typ": "JWT"}), claims, with_secret(hmac::HMAC_SHA256, SECRET.as_bytes()))
}

fn bearer(token: &str) -> String {
    format!("GET /\nAuthorization: Bearer {token}")
}

fn pem(der: &[u8]) -> String {
    let lines: Vec<String> =
        STANDARD.encode(der).as_bytes().chunks(64).map(|c| String::from_utf8_lossy(c).into()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

#[test]
fn a_valid_token_names_the_consumer_wherever_it_stands() {
    let (rig, handler) = given(json!({"cookie_names": ["jar"], "header_names": ["authorization", "x-token"]}));
    let token = token(&json!({"iss": "key"}));
    for text in [
        bearer(&token),
        format!("GET /?jwt={token}"),
        format!("GET /\nCookie: a=b; jar={token}"),
        format!("GET /\nX-Token: bearer {token}"),
        format!("GET /?jwt={token}&jwt={token}\nAuthorization: Bearer {token}"),
    ] {
        let mut x = request(&text);
        rig.passes(&*handler, &mut x);
        assert_eq!(upstream(&x, "x-consumer-username"), Some("jo"));
        assert_eq!(upstream(&x, "x-credential-identifier"), Some("key"));
    }
}

#[test]
fn refusals_are_in_kongs_words() {
    let (rig, handler) = given(json!({}));
    let good = token(&json!({"iss": "key"}));
    let other = token(&json!({"iss": "key", "n": 1}));
    let cases = [
        ("GET /".to_owned(), r#"401 {"message":"Unauthorized"} [Bearer]"#.to_owned()),
        ("GET /\nAuthorization: Basic x".to_owned(), r#"401 {"message":"Unauthorized"} [Bearer]"#.to_owned()),
        (format!("GET /?jwt={good}&jwt={other}"), invalid("Multiple tokens provided")),
        (bearer("abc"), invalid("Bad token; invalid JSON")),
        (bearer(&token(&json!({}))), invalid("No mandatory 'iss' in claims")),
        (bearer(&token(&json!({"iss": ""}))), invalid("Invalid 'iss' in claims")),
        (bearer(&token(&json!({"iss": "nobody"}))), invalid("No credentials found for given 'iss'")),
        (bearer(&token(&json!({"iss": 5}))), invalid("No credentials found for given 'iss'")),
        (bearer(&format!("{good}A")), invalid("Invalid signature")),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(&rig.refuses(&*handler, &mut request(&text))), expected, "{text}");
    }
}

fn invalid(message: &str) -> String {
    format!(r#"401 {{"message":"{message}"}} [Bearer error="invalid_token"]"#)
}

#[test]
fn the_realm_stands_in_both_challenges() {
    let (rig, handler) = given(json!({"realm": "R"}));
    assert!(shown(&rig.refuses(&*handler, &mut request("GET /"))).ends_with(r#"[Bearer realm="R"]"#));
    let reply = rig.refuses(&*handler, &mut request(&bearer("x")));
    assert!(shown(&reply).ends_with(r#"[Bearer realm="R", error="invalid_token"]"#));
}

#[test]
fn the_key_may_stand_in_the_header_of_the_token() {
    let (rig, handler) = given(json!({"key_claim_name": "kid"}));
    let token =
        signed(&json!({"alg": "HS256", "kid": "key"}), &json!({}), with_secret(hmac::HMAC_SHA256, SECRET.as_bytes()));
    rig.passes(&*handler, &mut request(&bearer(&token)));
}

#[test]
fn every_algorithm_with_a_secret_verifies() {
    for (name, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
    {
        let (rig, handler) = given(json!({}));
        rig.credential("jwt_secrets", 12, id(1), name, &[("algorithm", name), ("secret", SECRET)]);
        let token = signed(&json!({"alg": name}), &json!({"iss": name}), with_secret(algorithm, SECRET.as_bytes()));
        rig.passes(&*handler, &mut request(&bearer(&token)));
    }
}

#[test]
fn a_secret_may_be_base64() {
    let (rig, handler) = given(json!({"secret_is_base64": true}));
    let bytes = [0xff, 0x00, 0xfe, 0x3e];
    rig.credential("jwt_secrets", 12, id(1), "b", &[("algorithm", "HS256"), ("secret", &STANDARD.encode(bytes))]);
    let token = signed(&json!({"alg": "HS256"}), &json!({"iss": "b"}), with_secret(hmac::HMAC_SHA256, &bytes));
    rig.passes(&*handler, &mut request(&bearer(&token)));
}

/// A credential with a public key, and a token that its private key signed; one byte of the signature changed must not
/// pass, nor a signature of another length.
fn assert_verifies(name: &str, public_der: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) {
    let (rig, handler) = given(json!({}));
    rig.credential(
        "jwt_secrets",
        12,
        id(1),
        name,
        &[("algorithm", name), ("rsa_public_key", &pem(public_der)), ("secret", SECRET)],
    );
    let (header, claims) = (json!({"alg": name}), json!({"iss": name}));
    rig.passes(&*handler, &mut request(&bearer(&signed(&header, &claims, &sign))));
    let changed = |message: &[u8]| {
        let mut signature = sign(message);
        signature[7] ^= 1;
        signature
    };
    let cut = |message: &[u8]| sign(message)[1..].to_vec();
    for token in [signed(&header, &claims, changed), signed(&header, &claims, cut)] {
        assert_eq!(
            shown(&rig.refuses(&*handler, &mut request(&bearer(&token)))),
            invalid("Invalid signature"),
            "{name}"
        );
    }
}

#[test]
fn every_rsa_algorithm_verifies() {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key().as_der().unwrap().as_ref().to_vec();
    let algorithms: [(&str, &'static dyn RsaEncoding); 6] = [
        ("RS256", &RSA_PKCS1_SHA256),
        ("RS384", &RSA_PKCS1_SHA384),
        ("RS512", &RSA_PKCS1_SHA512),
        ("PS256", &RSA_PSS_SHA256),
        ("PS384", &RSA_PSS_SHA384),
        ("PS512", &RSA_PSS_SHA512),
    ];
    for (name, padding) in algorithms {
        assert_verifies(name, &public, |message| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        });
    }
}

#[test]
fn every_elliptic_curve_algorithm_verifies() {
    let algorithms: [(&str, &'static EcdsaSigningAlgorithm); 3] = [
        ("ES256", &ECDSA_P256_SHA256_FIXED_SIGNING),
        ("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING),
        ("ES512", &ECDSA_P521_SHA512_FIXED_SIGNING),
    ];
    for (name, algorithm) in algorithms {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let public = pair.public_key().as_der().unwrap().as_ref().to_vec();
        assert_verifies(name, &public, |message| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec());
    }
    let pair = Ed25519KeyPair::generate().unwrap();
    let public = pair.public_key().as_der().unwrap().as_ref().to_vec();
    assert_verifies("EdDSA", &public, |message| pair.sign(message).as_ref().to_vec());
}

#[test]
fn the_algorithm_is_the_credentials_choice_and_never_the_tokens() {
    // Given a credential that verifies with a public key, which an attacker knows.
    let (rig, handler) = given(json!({}));
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pem(pair.public_key().as_der().unwrap().as_ref());
    rig.credential(
        "jwt_secrets",
        12,
        id(1),
        "rsa",
        &[("algorithm", "RS256"), ("rsa_public_key", &public), ("secret", SECRET)],
    );
    // When a token says that the key is a shared secret, then it is refused.
    for secret in [public.as_bytes(), public.trim().as_bytes(), SECRET.as_bytes(), b""] {
        let forged = signed(&json!({"alg": "HS256"}), &json!({"iss": "rsa"}), with_secret(hmac::HMAC_SHA256, secret));
        assert_eq!(shown(&rig.refuses(&*handler, &mut request(&bearer(&forged)))), invalid("Invalid algorithm"));
    }
    // So is one that says that it needs no signature.
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256 "] {
        for signature in ["", "AA"] {
            let forged = signed(&json!({"alg": alg}), &json!({"iss": "rsa"}), |_| signature.into());
            assert_eq!(
                shown(&rig.refuses(&*handler, &mut request(&bearer(&forged)))),
                invalid("Bad token; invalid alg")
            );
        }
    }
}

#[test]
fn a_credential_without_its_key_verifies_nothing() {
    let (rig, handler) = given(json!({}));
    rig.credential("jwt_secrets", 12, id(1), "es", &[("algorithm", "ES256"), ("secret", SECRET)]);
    let token = signed(&json!({"alg": "ES256"}), &json!({"iss": "es"}), |_| vec![0; 64]);
    assert_eq!(shown(&rig.refuses(&*handler, &mut request(&bearer(&token)))), invalid("Invalid key/secret"));
}

#[test]
fn claims_are_verified_where_asked_for() {
    let (rig, handler) = given(json!({"claims_to_verify": ["exp", "nbf"]}));
    let now = rig.clock.wall();
    let ask = |claims: Value| {
        let mut claims = claims;
        claims["iss"] = json!("key");
        rig.access(&*handler, &mut request(&bearer(&token(&claims)))).map_or("passes".into(), |r| shown(&r))
    };
    let challenge = r#" [Bearer error="invalid_token"]"#;
    assert_eq!(ask(json!({"exp": now + 1, "nbf": now})), "passes");
    assert_eq!(ask(json!({"exp": now, "nbf": now})), format!("401 {{\"exp\":\"token expired\"}}{challenge}"));
    assert_eq!(
        ask(json!({"exp": now + 1, "nbf": now + 1})),
        format!("401 {{\"nbf\":\"token not valid yet\"}}{challenge}")
    );
    assert_eq!(ask(json!({"exp": "soon", "nbf": now})), format!("401 {{\"exp\":\"must be a number\"}}{challenge}"));
    assert_eq!(ask(json!({})), format!("401 {{\"exp\":\"must be a number\",\"nbf\":\"must be a number\"}}{challenge}"));
}

#[test]
fn an_expired_token_passes_where_exp_is_not_verified() {
    let (rig, handler) = given(json!({}));
    rig.passes(&*handler, &mut request(&bearer(&token(&json!({"iss": "key", "exp": 1})))));
}

#[test]
fn a_token_may_not_live_longer_than_the_maximum() {
    let (rig, handler) = given(json!({"claims_to_verify": ["exp"], "maximum_expiration": 300}));
    let now = rig.clock.wall();
    let ask = |exp: i64| rig.access(&*handler, &mut request(&bearer(&token(&json!({"iss": "key", "exp": exp})))));
    assert!(ask(now + 300).is_none());
    let reply = ask(now + 301).unwrap();
    assert!(shown(&reply).starts_with(r#"401 {"exp":"exceeds maximum allowed expiration"}"#));
}

#[test]
fn a_maximum_needs_exp_to_be_verified() {
    let faults = gibbon_rig::refused(&PART, json!({"maximum_expiration": 300, "claims_to_verify": ["nbf"]}));
    assert_eq!(faults["@entity"][0], "failed conditional validation given value of field 'config.maximum_expiration'");
    assert_eq!(faults["config"]["claims_to_verify"], "expected to contain: exp");
}

#[test]
fn preflights_and_anonymous_follow_the_common_rules() {
    let (rig, handler) = given(json!({"run_on_preflight": false, "anonymous": "anon"}));
    let mut x = request("OPTIONS /");
    rig.passes(&*handler, &mut x);
    assert!(x.consumer.is_none());
    let mut x = request(&bearer("broken"));
    rig.passes(&*handler, &mut x);
    assert_eq!(upstream(&x, "x-anonymous-consumer"), Some("true"));
}

#[test]
fn an_oversized_token_is_merely_wrong() {
    let (rig, handler) = given(json!({}));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in ["A".repeat(1 << 20), format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(&deep), URL_SAFE_NO_PAD.encode(&deep))]
    {
        let reply = rig.refuses(&*handler, &mut request(&bearer(&text)));
        assert_eq!(shown(&reply), invalid("Bad token; invalid JSON"));
    }
}
