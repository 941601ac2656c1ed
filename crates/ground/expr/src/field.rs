//! The fields an expression may name, with their types, for each subsystem.

/// Which connections an expression speaks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schema {
    Http,
    Stream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    Text,
    Int,
    Ip,
}

/// A field, resolved from its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    Protocol,
    Sni,
    Method,
    Host,
    Path,
    /// `http.path.segments.N`, counted from 0.
    Segment(u32),
    /// `http.path.segments.N_M`, both inclusive, joined with `/`.
    Segments(u32, u32),
    SegmentCount,
    /// `http.headers.*`: lower case, `-` written as `_`.
    Header(Box<str>),
    /// `http.queries.*`, case-sensitive.
    Query(Box<str>),
    SourceIp,
    SourcePort,
    DestinationIp,
    DestinationPort,
}

/// Why a name is not a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldError {
    Unknown,
    /// `http.path.segments.` followed by something that is not `len`, `N` or `N_M` with `N < M`.
    BadSegments,
}

impl Field {
    /// Resolves `name`. The deprecated `net.port` is taken for `net.dst.port`.
    pub(crate) fn resolve(name: &str, schema: Schema) -> Result<Field, FieldError> {
        let common = match name {
            "net.protocol" => Some(Field::Protocol),
            "tls.sni" => Some(Field::Sni),
            "net.src.ip" => Some(Field::SourceIp),
            "net.src.port" => Some(Field::SourcePort),
            "net.dst.ip" => Some(Field::DestinationIp),
            "net.dst.port" | "net.port" => Some(Field::DestinationPort),
            _ => None,
        };
        match (common, schema) {
            (Some(field), _) => Ok(field),
            (None, Schema::Http) => Field::resolve_http(name),
            (None, Schema::Stream) => Err(FieldError::Unknown),
        }
    }

    fn resolve_http(name: &str) -> Result<Field, FieldError> {
        match name {
            "http.method" => return Ok(Field::Method),
            "http.host" => return Ok(Field::Host),
            "http.path" => return Ok(Field::Path),
            "http.path.segments.len" => return Ok(Field::SegmentCount),
            _ => {}
        }
        let (family, key) = name.rsplit_once('.').ok_or(FieldError::Unknown)?;
        match family {
            "http.headers" => Ok(Field::Header(key.to_ascii_lowercase().replace('-', "_").into())),
            "http.queries" => Ok(Field::Query(key.into())),
            "http.path.segments" => parse_segments(key).ok_or(FieldError::BadSegments),
            _ => Err(FieldError::Unknown),
        }
    }

    #[must_use]
    pub fn field_type(&self) -> FieldType {
        match self {
            Field::SegmentCount | Field::SourcePort | Field::DestinationPort => FieldType::Int,
            Field::SourceIp | Field::DestinationIp => FieldType::Ip,
            _ => FieldType::Text,
        }
    }
}

/// `N` or `N_M`: decimal without leading zeros, `N < M`.
fn parse_segments(key: &str) -> Option<Field> {
    let Some((first, last)) = key.split_once('_') else {
        return Some(Field::Segment(index(key)?));
    };
    let (first, last) = (index(first)?, index(last)?);
    (first < last).then_some(Field::Segments(first, last))
}

fn index(digits: &str) -> Option<u32> {
    let plain = digits == "0" || (!digits.starts_with('0') && !digits.is_empty());
    if !plain || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // A path has far fewer segments than this, so a larger number means "never there".
    Some(digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_taken_lower_case_with_underscores() {
        assert_eq!(Field::resolve("http.headers.X_Foo", Schema::Http), Ok(Field::Header("x_foo".into())));
    }

    #[test]
    fn a_dot_inside_a_header_or_query_name_is_unknown() {
        assert_eq!(Field::resolve("http.queries.a.b", Schema::Http), Err(FieldError::Unknown));
    }

    #[test]
    fn segments_are_one_index_or_a_rising_range() {
        let resolve = |key: &str| Field::resolve(&format!("http.path.segments.{key}"), Schema::Http);
        assert_eq!(resolve("0"), Ok(Field::Segment(0)));
        assert_eq!(resolve("1_2"), Ok(Field::Segments(1, 2)));
        assert_eq!(resolve("len"), Ok(Field::SegmentCount));
        for bad in ["01", "2_1", "1_1", "1_", "x", "1_02", "_1"] {
            assert_eq!(resolve(bad), Err(FieldError::BadSegments), "{bad}");
        }
    }

    #[test]
    fn stream_knows_no_http_fields() {
        assert_eq!(Field::resolve("http.path", Schema::Stream), Err(FieldError::Unknown));
        assert_eq!(Field::resolve("tls.sni", Schema::Stream), Ok(Field::Sni));
    }
}
