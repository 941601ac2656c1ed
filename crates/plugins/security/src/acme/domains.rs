//! For which names certificates are obtained.

/// Names and wildcards of a configuration.
pub struct Domains {
    any: bool,
    exact: Vec<String>,
    /// `*.a.test` as `.a.test`.
    ends: Vec<String>,
    /// `a.*` as `a.`.
    beginnings: Vec<String>,
}

impl Domains {
    pub fn new(any: bool, configured: &[String]) -> Self {
        let mut domains = Domains { any, exact: Vec::new(), ends: Vec::new(), beginnings: Vec::new() };
        for name in configured {
            let name = name.to_ascii_lowercase();
            match (name.strip_prefix('*'), name.strip_suffix('*')) {
                (Some(end), _) => domains.ends.push(end.to_owned()),
                (None, Some(beginning)) => domains.beginnings.push(beginning.to_owned()),
                (None, None) => domains.exact.push(name),
            }
        }
        domains
    }

    /// Whether a certificate may be obtained for a name in lower case. What could not stand in a certificate, or would
    /// make a strange key in a storage, is no name, whoever allows it.
    pub fn allows(&self, name: &str) -> bool {
        is_name(name)
            && (self.any
                || self.exact.iter().any(|exact| exact == name)
                || self.ends.iter().any(|end| name.len() > end.len() && name.ends_with(end))
                || self.beginnings.iter().any(|beginning| name.len() > beginning.len() && name.starts_with(beginning)))
    }
}

fn is_name(name: &str) -> bool {
    /// RFC 1035 2.3.4.
    const LONGEST: usize = 253;
    !name.is_empty()
        && name.len() <= LONGEST
        && name.split('.').all(|label| !label.is_empty() && label.len() <= 63)
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_or_begin_or_end_as_configured() {
        let configured = ["a.test", "*.B.test", "c.*"].map(str::to_owned);
        let domains = Domains::new(false, &configured);
        for allowed in ["a.test", "x.b.test", "x.y.b.test", "c.org"] {
            assert!(domains.allows(allowed), "{allowed}");
        }
        for refused in ["x.a.test", "b.test", ".b.test", "xc.org", "", "x..b.test", "x/y.b.test", "A.test"] {
            assert!(!domains.allows(refused), "{refused}");
        }
    }

    #[test]
    fn any_name_is_still_a_name() {
        let any = Domains::new(true, &[]);
        assert!(any.allows("whatever.test"));
        assert!(!any.allows("kong_acme:cert_key") && !any.allows(&"a.".repeat(200)));
    }
}
