//! The two families of settings for name resolution.

use super::*;

#[test]
fn servers_have_port_53_unless_they_say_otherwise() {
    let dns = settings("dns_resolver = 10.0.0.1, [::1]:5353\ndns_order = A,aaaa").dns;
    assert_eq!(dns.servers, ["10.0.0.1:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
    assert_eq!(dns.order, [RecordType::A, RecordType::Aaaa]);
    assert_eq!(
        faults("dns_resolver = dns.test"),
        ["dns_resolver must be a comma separated list in the form of IPv4/6 or IPv4/6:port, got 'dns.test'"]
    );
    assert_eq!(faults("dns_order = A, MX"), ["dns_order: invalid entry 'MX'"]);
    assert_eq!(faults("dns_hostsfile = /no"), ["dns_hostsfile: file does not exist"]);
}

#[test]
fn the_new_client_reads_the_newer_names() {
    let dns =
        settings("new_dns_client = on\nresolver_address = 10.0.0.2\nresolver_valid_ttl = 7\ndns_resolver = 10.0.0.1")
            .dns;
    assert_eq!(dns.servers, ["10.0.0.2:53".parse().unwrap()]);
    assert_eq!(dns.valid_ttl, Some(Duration::from_secs(7)));
    assert_eq!(dns.order, [RecordType::A, RecordType::Srv]);
}
