//! Certificates with their keys, the names they serve, and the authorities that are trusted.

use gibbon_schema::{Field, Record, Validator, checks, typedefs};

use super::identified;
use crate::{entity::EntityDef, transforms, x509};

pub fn certificates() -> EntityDef {
    let record = identified()
        .field("cert", certificate().referenceable().required())
        .field("key", key().required())
        .field("cert_alt", certificate().referenceable().optional())
        .field("key_alt", key().optional())
        .field("tags", typedefs::tags())
        // Names given here become `snis`, which is where they are stored.
        .field("snis", Field::array(typedefs::wildcard_sni()).optional().transient())
        .check(checks::mutually_required(&["cert_alt", "key_alt"]))
        .check(checks::custom("certificate_matches_key", &["cert", "key"], x509::check_certificate_matches_key))
        .check(checks::custom("alternative_matches_key", &["cert_alt", "key_alt"], x509::check_alternative_matches_key))
        .check(checks::custom("alternative_differs", &["cert", "cert_alt"], x509::check_alternative_differs));
    EntityDef::new("certificates", record)
}

pub fn snis() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("name", typedefs::wildcard_sni().required().unique().unique_across_ws())
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
        .field("tags", typedefs::tags())
        .field("certificate", Field::foreign("certificates").required());
    EntityDef::new("snis", record).endpoint_key("name")
}

pub fn ca_certificates(now: fn() -> i64) -> EntityDef {
    let record = identified()
        .field("cert", certificate().required())
        .field("cert_digest", Field::string().unique())
        .field("tags", typedefs::tags())
        .check(checks::custom("authority", &["cert"], move |document| x509::check_authority(document, now())));
    EntityDef::new("ca_certificates", record).global().transform(&["cert"], transforms::digest_certificate)
}

fn certificate() -> Field {
    Field::string().custom(Validator::new("certificate", x509::check_certificate))
}

fn key() -> Field {
    Field::string().custom(Validator::new("key", x509::check_key)).referenceable().encrypted()
}
