//! `resty.openssl` and its kin, as plugins call them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "lua/gateway.rs"]
#[allow(dead_code)]
mod gateway;

use gateway::trusted;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};
use serde_json::{Value, json};

/// What the code puts into `out`; `given` are strings by name.
fn run(code: &str, given: &[(&str, &str)]) -> Value {
    let given: String = given.iter().map(|(name, text)| format!("local {name} = [==[{text}]==]\n")).collect();
    let gateway = trusted(&format!("{given}local out = {{}}\n{code}\nreturn kong.response.exit(200, out)"), &[]);
    let answer = gateway.get("/");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    answer.json().unwrap()
}

#[test]
fn keys_sign_verify_and_change_form() {
    let out = run(
        r#"
        local pkey = require "resty.openssl.pkey"
        local digest = require "resty.openssl.digest"
        for _, kind in ipairs({ { type = "RSA", bits = 2048 }, { type = "EC", curve = "prime256v1" },
          { type = "Ed25519" } }) do
          local key = assert(pkey.new(kind))
          local public = assert(pkey.new(assert(key:to_PEM("public"))))
          local private = assert(pkey.new(key:tostring("private", "JWK"), { format = "JWK" }))
          local signature = assert(private:sign("text", kind.type ~= "Ed25519" and "sha256" or nil))
          local name = kind.type
          out[name] = { public:verify(signature, "text", "sha256"), public:verify(signature, "other", "sha256"),
            public:is_private(), key:is_private(), public:get_key_type().sn,
            assert(pkey.new(key:tostring("private", "PEM", true) or key:to_PEM("private"))):is_private() }
        end
        local rsa = assert(pkey.new())
        local hashed = digest.new("SHA256")
        hashed:update("a", "b")
        out.digest = rsa:verify(assert(rsa:sign(hashed)), "ab", "sha256")
        local parameters = rsa:get_parameters()
        out.exponent = parameters.e:to_number()
        out.size = #parameters.n:to_binary()
        local oaep = pkey.PADDINGS.RSA_PKCS1_OAEP_PADDING
        out.plain = rsa:decrypt(assert(rsa:encrypt("hidden", oaep)), oaep)
        local _, err = pkey.new("-----BEGIN NOTHING-----")
        out.wrong = err
        local a, b = pkey.new({ type = "X25519" }), pkey.new({ type = "X25519" })
        out.agreed = a:derive(b) == b:derive(a)
        "#,
        &[],
    );
    for (kind, sn) in [("RSA", "rsaEncryption"), ("EC", "id-ecPublicKey"), ("Ed25519", "ED25519")] {
        assert_eq!(out[kind], json!([true, false, false, true, sn, true]), "{kind}");
    }
    assert_eq!((&out["digest"], &out["exponent"], &out["size"]), (&json!(true), &json!(65537), &json!(256)));
    assert_eq!((&out["plain"], &out["agreed"]), (&json!("hidden"), &json!(true)));
    assert_eq!(out["wrong"], "pkey.new:load_key: no key found in the PEM text");
}

#[test]
fn ciphers_digests_and_numbers_compute() {
    let out = run(
        r#"
        local cipher, bn = require "resty.openssl.cipher", require "resty.openssl.bn"
        local hex = require("resty.string").to_hex
        local key, iv = ("k"):rep(32), ("i"):rep(16)
        local cbc = cipher.new("aes-256-cbc")
        out.cbc = cbc:decrypt(key, iv, assert(cbc:encrypt(key, iv, "text")))
        local gcm = cipher.new("aes-256-gcm")
        local hidden = assert(gcm:encrypt(key, iv:sub(1, 12), "text", false, "about"))
        local tag = gcm:get_aead_tag()
        out.gcm = gcm:decrypt(key, iv:sub(1, 12), hidden, false, "about", tag)
        local none, err = gcm:decrypt(key, iv:sub(1, 12), hidden, false, "other", tag)
        out.forged = none == nil and err ~= nil
        cbc:init(key, iv, { is_encrypt = true })
        out.steps = cbc:update("te") .. cbc:final("xt") == cbc:encrypt(key, iv, "text")
        local derived, vector = cipher.new("aes-128-cbc"):derive("password", "saltsalt", 1, "md5")
        out.derived = hex(derived) .. ":" .. hex(vector)
        local aes = require("resty.aes")
        local sealed = assert(aes:new("password", "saltsalt"))
        out.aes = sealed:decrypt(sealed:encrypt("text"))
        out.sha = hex(require("resty.openssl.digest").new("sha256"):final("abc"))
        out.hmac = hex(require("resty.openssl.hmac").new("key", "sha256"):final("text"))
        out.same = out.hmac == hex(require("resty.openssl.mac").new("key", "HMAC", nil, "sha256"):final("text"))
        local kdf = require "resty.openssl.kdf"
        out.pbkdf2 = hex(kdf.derive({ type = kdf.PBKDF2, outlen = 20, pass = "password", salt = "salt",
          md = "sha1", pbkdf2_iter = 2 }))
        local big = bn.from_hex("FFFFFFFFFFFFFFFFFFFFFFFF")
        out.sum = tostring(big + 1)
        out.power = tostring(bn.mod_exp(bn.new(3), bn.new(200), bn.new(1000007)))
        out.order = bn.new(2) < bn.new(3) and bn.new(3) == bn.from_dec("3")
        out.padded = hex(bn.new(258):to_binary(4))
        out.random = #require("resty.openssl.rand").bytes(24)
        "#,
        &[],
    );
    assert_eq!(
        out,
        json!({"cbc": "text", "gcm": "text", "forged": true, "steps": true, "aes": "text", "same": true,
            "derived": out["derived"], "hmac": out["hmac"], "random": 24,
            "sha": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "pbkdf2": out["pbkdf2"],
            "sum": "79228162514264337593543950336", "power": out["power"], "order": true, "padded": "00000102"})
    );
    assert_eq!(out["pbkdf2"].as_str().unwrap().get(..8), Some("ea6c014d"));
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

#[test]
fn certificates_are_read_and_lead_to_trusted_ones() {
    let issuer =
        |params: CertificateParams| CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let (root, other) = (issuer(authority("Root")), issuer(authority("Other")));
    let middle = CertifiedIssuer::signed_by(authority("Middle"), KeyPair::generate().unwrap(), &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["leaf.test".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse().unwrap()));
    params.distinguished_name.push(DnType::CommonName, "Leaf");
    params.distinguished_name.push(DnType::OrganizationName, "House");
    let leaf = params.signed_by(&key, &middle).unwrap();
    let out = run(
        r#"
        local x509, store = require "resty.openssl.x509", require "resty.openssl.x509.store"
        local chain, pkey = require "resty.openssl.x509.chain", require "resty.openssl.pkey"
        local certificate, authority, between = assert(x509.new(leaf)), assert(x509.new(root)), assert(x509.new(middle))
        out.cn = certificate:get_subject_name():find("CN").blob
        out.subject = certificate:get_subject_name():tostring()
        out.issuer = certificate:get_issuer_name():find("CN").blob
        out.names = {}
        for kind, value in certificate:get_subject_alt_name():each() do out.names[kind] = value end
        out.valid = certificate:get_not_before() < ngx.time() and certificate:get_not_after() > ngx.time()
        out.ca = { certificate:get_basic_constraints("ca") or false, authority:get_basic_constraints("ca") }
        out.key = certificate:check_private_key(pkey.new(key))
        out.signed = { certificate:verify(between:get_pubkey()), certificate:verify(authority:get_pubkey()) }
        out.again = x509.new(certificate:tostring("DER")):to_PEM() == certificate:to_PEM()
        local trusted, list = store.new(), chain.new()
        trusted:add(authority)
        list:add(between)
        out.trusted = trusted:verify(certificate, list)
        out.found = #trusted:verify(certificate, list, true):all()
        local _, err = trusted:verify(certificate)
        out.without = err
        local strange = store.new()
        strange:add(assert(x509.new(other)))
        _, err = strange:verify(certificate, list)
        out.strange = err
        _, err = strange:verify(authority)
        out.alone = err
        local evp = require "resty.evp"
        local signature = assert(evp.ECSigner:new(key)):sign("message", "SHA256")
        local signer = evp.ECSigner:new(key)
        local verifier = evp.ECVerifier:new(assert(evp.Cert:new(leaf)))
        out.evp = { verifier:verify("message", signer:get_raw_sig(signature), "SHA256"),
          verifier:verify("other", signer:get_raw_sig(signature), "SHA256") }
        "#,
        &[
            ("leaf", &leaf.pem()),
            ("root", &root.pem()),
            ("middle", &middle.pem()),
            ("other", &other.pem()),
            ("key", &key.serialize_pem()),
        ],
    );
    assert_eq!((&out["cn"], &out["issuer"]), (&json!("Leaf"), &json!("Middle")));
    assert!(out["subject"].as_str().unwrap().ends_with("CN=Leaf/O=House"), "{}", out["subject"]);
    assert_eq!(out["names"], json!({"DNS": "leaf.test", "IP": "127.0.0.1"}));
    assert_eq!((&out["valid"], &out["key"], &out["again"]), (&json!(true), &json!(true), &json!(true)));
    assert_eq!((&out["ca"], &out["signed"]), (&json!([false, true]), &json!([true, false])));
    assert_eq!((&out["trusted"], &out["found"]), (&json!(true), &json!(3)));
    assert_eq!(out["without"], "unable to get local issuer certificate");
    assert_eq!(out["strange"], "unable to get local issuer certificate");
    assert_eq!(out["alone"], "self-signed certificate");
    assert_eq!(out["evp"][0], true);
    assert_eq!(out["evp"][1], false);
}
