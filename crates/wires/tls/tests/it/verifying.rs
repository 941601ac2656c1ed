//! Whom a client trusts.

use gibbon_tls::{
    Certificate, ClientTls, ClientTlsCache, ClientTlsSettings, HandshakeError, HandshakeFailure, IpSubject, TrustStore,
    Verify, generate_default,
};
use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

use crate::authority::Authority;
use crate::{client, handshake, name, server};

fn verifying(trust: TrustStore, depth: u32) -> ClientTls {
    client(ClientTlsSettings {
        verify: Verify::On { trust, depth, ip_subject: IpSubject::ByAddress },
        ..ClientTlsSettings::default()
    })
}

async fn verdict(certificate: &Certificate, client: &ClientTls, host: &str) -> Result<(), HandshakeError> {
    handshake(&server(certificate), client, &name(host)).await.1.map(|_| ())
}

async fn refusal(certificate: &Certificate, client: &ClientTls, host: &str) -> String {
    let error = verdict(certificate, client, host).await.unwrap_err();
    assert_eq!(error.failure, HandshakeFailure::Verification, "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_trusted_issuer_and_a_matching_name_are_accepted_and_nothing_less() {
    let root = Authority::root("root");
    let certificate = root.issue(&["a.test", "*.b.test", "127.0.0.1"]);
    let client = verifying(root.trust(), 1);
    for host in ["a.test", "A.TEST", "a.test.", "x.b.test", "127.0.0.1"] {
        verdict(&certificate, &client, host).await.unwrap();
    }
    for host in ["b.test", "x.y.b.test", "127.0.0.2", "::1"] {
        assert!(refusal(&certificate, &client, host).await.contains("for another name"));
    }
    let stranger = verifying(Authority::root("root").trust(), 1);
    refusal(&certificate, &stranger, "a.test").await;
    let nobody = verifying(TrustStore::empty(), 1);
    assert!(refusal(&certificate, &nobody, "a.test").await.contains("trusted authority"));
}

#[tokio::test]
async fn the_server_learns_that_its_certificate_was_refused() {
    let certificate = Authority::root("root").issue(&["a.test"]);
    let (accepted, _) = handshake(&server(&certificate), &verifying(TrustStore::empty(), 1), &name("a.test")).await;
    assert_eq!(accepted.err().unwrap().failure, HandshakeFailure::PeerAlert);
}

#[tokio::test]
async fn unverified_connections_accept_anybody() {
    let certificate = Authority::root("root").issue(&["a.test"]);
    verdict(&certificate, &client(ClientTlsSettings::default()), "other.test").await.unwrap();
}

#[tokio::test]
async fn depth_counts_the_intermediates() {
    let root = Authority::root("root");
    let first = root.intermediate("first");
    let second = first.intermediate("second");
    for (intermediates, certificate) in
        [(0, root.issue(&["a.test"])), (1, first.issue(&["a.test"])), (2, second.issue(&["a.test"]))]
    {
        for depth in 0..4 {
            let client = verifying(root.trust(), depth);
            if depth >= intermediates {
                verdict(&certificate, &client, "a.test").await.unwrap();
            } else {
                let text = refusal(&certificate, &client, "a.test").await;
                assert!(text.contains(&format!("more than {depth} intermediate")), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    let root = Authority::root("root");
    let issue = |from: i32, to: i32| {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        root.sign(params, KeyPair::generate().unwrap())
    };
    let client = verifying(root.trust(), 1);
    assert!(refusal(&issue(2001, 2002), &client, "a.test").await.contains("has expired"));
    assert!(refusal(&issue(2998, 2999), &client, "a.test").await.contains("not valid yet"));
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_when_it_is_in_the_list_itself() {
    let (pem, key) = generate_default("a.test", gibbon_tls::KeyType::Ecdsa).unwrap();
    let certificate = Certificate::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
    let trust = TrustStore::from_pem([("own", pem.as_bytes())]).unwrap();
    verdict(&certificate, &verifying(trust.clone(), 0), "a.test").await.unwrap();
    refusal(&certificate, &verifying(trust, 0), "b.test").await;
    refusal(&certificate, &verifying(Authority::root("root").trust(), 5), "a.test").await;
}

#[tokio::test]
async fn a_certificate_without_alternative_names_is_matched_by_its_common_name() {
    let root = Authority::root("root");
    let named = |common: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common);
        root.sign(params, KeyPair::generate().unwrap())
    };
    let client = verifying(root.trust(), 1);
    verdict(&named("a.test"), &client, "a.test").await.unwrap();
    verdict(&named("*.a.test"), &client, "x.a.test").await.unwrap();
    for (common, host) in
        [("a.test", "b.test"), ("*.a.test", "a.test"), ("*.a.test", "x.y.a.test"), ("*.test", "a.test")]
    {
        refusal(&named(common), &client, host).await;
    }
    // With alternative names the common name says nothing.
    let mut params = CertificateParams::new(vec!["b.test".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "a.test");
    refusal(&root.sign(params, KeyPair::generate().unwrap()), &client, "a.test").await;
}

#[tokio::test]
async fn an_address_can_be_demanded_as_a_dns_name() {
    let root = Authority::root("root");
    let client = client(ClientTlsSettings {
        verify: Verify::On { trust: root.trust(), depth: 1, ip_subject: IpSubject::AsDnsName },
        ..ClientTlsSettings::default()
    });
    refusal(&root.issue(&["a.test", "127.0.0.1"]), &client, "127.0.0.1").await;
    verdict(&root.issue(&["a.test"]), &client, "a.test").await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_for_servers_only_is_no_server_certificate() {
    let root = Authority::root("root");
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = root.sign(params, KeyPair::generate().unwrap());
    refusal(&certificate, &verifying(root.trust(), 1), "a.test").await;
}

#[tokio::test]
async fn a_server_certificate_marked_as_an_authority_is_accepted_from_a_trusted_one_itself_only() {
    let root = Authority::root("root");
    let marked = |from: i32, to: i32| {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        params
    };
    let client = verifying(root.trust(), 1);
    let key = || KeyPair::generate().unwrap();
    verdict(&root.sign(marked(2020, 2999), key()), &client, "a.test").await.unwrap();
    refusal(&root.sign(marked(2020, 2999), key()), &client, "b.test").await;
    refusal(&root.sign(marked(2001, 2002), key()), &client, "a.test").await;
    refusal(&root.intermediate("first").sign(marked(2020, 2999), key()), &client, "a.test").await;
    // Same name, other key.
    refusal(&Authority::root("root").sign(marked(2020, 2999), key()), &client, "a.test").await;
    let mut for_clients = marked(2020, 2999);
    for_clients.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    refusal(&root.sign(for_clients, key()), &client, "a.test").await;
}

#[test]
fn equal_settings_share_one_client_for_as_long_as_it_is_used() {
    let cache = ClientTlsCache::default();
    let root = Authority::root("root");
    let settings = ClientTlsSettings {
        verify: Verify::On { trust: root.trust(), depth: 1, ip_subject: IpSubject::ByAddress },
        ..ClientTlsSettings::default()
    };
    let first = cache.get(&settings).unwrap();
    assert!(first.is_same(&cache.get(&settings.clone()).unwrap()));
    let other = ClientTlsSettings { alpn: vec![b"h2".to_vec()], ..settings.clone() };
    let other = cache.get(&other).unwrap();
    assert!(!first.is_same(&other));
    assert_eq!(cache.len(), 2);
    drop((first, other));
    let _new = cache.get(&ClientTlsSettings::default()).unwrap();
    assert_eq!(cache.len(), 1);
}
