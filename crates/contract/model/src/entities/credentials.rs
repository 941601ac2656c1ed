//! Credentials of consumers, and the groups an ACL knows them by.

use gibbon_schema::{Field, OnDelete, Record, Validator, checks, typedefs};

use crate::{entity::EntityDef, transforms, x509};

/// A record that begins as all credentials do.
pub(super) fn of_consumer() -> Record {
    Record::new()
        .field("id", typedefs::id())
        .field("created_at", typedefs::auto_timestamp())
        .field("consumer", Field::foreign("consumers").required().on_delete(OnDelete::Cascade))
}

pub fn acls() -> EntityDef {
    let record = of_consumer().field("group", Field::string().required()).field("tags", typedefs::tags());
    EntityDef::new("acls", record).cache_key(&["consumer", "group"])
}

pub fn basicauth_credentials() -> EntityDef {
    let record = of_consumer()
        .field("username", Field::string().required().unique())
        .field("password", Field::string().required().encrypted())
        .field("tags", typedefs::tags());
    EntityDef::new("basicauth_credentials", record)
        .endpoint_key("username")
        .cache_key(&["username"])
        .paths("basic-auths", "basic-auth")
        .transform(&["password"], transforms::hash_basic_password)
}

pub fn hmacauth_credentials() -> EntityDef {
    let record = of_consumer()
        .field("username", Field::string().required().unique())
        .field("secret", Field::string().auto())
        .field("tags", typedefs::tags());
    EntityDef::new("hmacauth_credentials", record)
        .endpoint_key("username")
        .cache_key(&["username"])
        .paths("hmac-auths", "hmac-auth")
}

pub fn keyauth_credentials() -> EntityDef {
    let record =
        of_consumer().field("key", Field::string().optional().unique().auto()).field("tags", typedefs::tags()).ttl();
    EntityDef::new("keyauth_credentials", record).endpoint_key("key").cache_key(&["key"]).paths("key-auths", "key-auth")
}

const ALGORITHMS: [&str; 13] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA",
];

/// Algorithms that verify with a public key; those on elliptic curves named `ES` are not enforced.
const WITH_PUBLIC_KEY: [&str; 7] = ["^RS256$", "^RS384$", "^RS512$", "^PS256$", "^PS384$", "^PS512$", "^EdDSA$"];

pub fn jwt_secrets() -> EntityDef {
    let public_key = Field::condition().required().custom(Validator::new("public_key", x509::check_public_key));
    let record = of_consumer()
        .field("key", Field::string().optional().unique().auto())
        .field("secret", Field::string().auto())
        .field("rsa_public_key", Field::string())
        .field("algorithm", Field::string().one_of(ALGORITHMS).default("HS256"))
        .field("tags", typedefs::tags())
        .check(checks::conditional(
            "algorithm",
            Field::condition().match_any(WITH_PUBLIC_KEY, ""),
            "rsa_public_key",
            public_key,
        ));
    EntityDef::new("jwt_secrets", record).endpoint_key("key").cache_key(&["key"]).paths("jwts", "jwt")
}
