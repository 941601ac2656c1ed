//! Settings of `hmac-auth`.

use gibbon_schema::Schema;

/// What a signature must cover, and how it may be made.
#[derive(Schema, Debug)]
pub struct Config {
    /// Take the credentials out of the request before it goes upstream.
    #[schema(required, default = false, default_3_15 = true)]
    pub hide_credentials: bool,
    /// How far the request's date may lie from now, in seconds: the time in which a recorded request can be replayed.
    #[schema(default = 300, gt = 0)]
    pub clock_skew: Option<f64>,
    /// Id or user name of the consumer that a caller without a valid signature becomes.
    pub anonymous: Option<String>,
    /// Compare the body with the Digest header, or see that there is none.
    #[schema(required, default = false)]
    pub validate_request_body: bool,
    /// Names that a signature must cover, spelled as clients send them.
    #[schema(default = [])]
    pub enforce_headers: Option<Vec<String>>,
    /// Algorithms that signatures may be made with.
    #[schema(
        default = ["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"],
        default_3_15 = ["hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"],
        elements(one_of("hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"), also_one_of("hmac-sha224"))
    )]
    pub algorithms: Option<Vec<String>>,
    /// The realm named in a refusal.
    #[schema(optional)]
    pub realm: Option<String>,
}
