//! Settings of request-size-limiting.

use gibbon_schema::Schema;

/// How large a body may be.
#[derive(Schema, Debug)]
pub struct Config {
    /// The largest size allowed, in `size_unit`.
    #[schema(default = 128)]
    pub allowed_payload_size: i64,
    /// What `allowed_payload_size` counts.
    #[schema(required, default = "megabytes")]
    pub size_unit: SizeUnit,
    /// Whether a request must announce its size (or be chunked).
    #[schema(required, default = false)]
    pub require_content_length: bool,
}

/// A unit of size.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeUnit {
    /// 1,048,576 bytes.
    Megabytes,
    /// 1,024 bytes.
    Kilobytes,
    Bytes,
}

impl SizeUnit {
    pub fn bytes(self) -> i64 {
        match self {
            SizeUnit::Megabytes => 1 << 20,
            SizeUnit::Kilobytes => 1 << 10,
            SizeUnit::Bytes => 1,
        }
    }
}
