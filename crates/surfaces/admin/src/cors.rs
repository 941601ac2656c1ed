//! Which origins browsers may call from: those of the console, or whichever asks where no console is named.

/// Origins of the console.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<String>);

impl Origins {
    /// From the addresses of the console.
    pub fn new(urls: &[String]) -> Self {
        Origins(urls.iter().filter_map(|url| origin(url)).collect())
    }

    /// What `Access-Control-Allow-Origin` says to a request with that origin.
    pub fn allowed(&self, origin: Option<&str>) -> String {
        match (self.0.first(), origin) {
            (None, origin) => origin.unwrap_or("*").to_owned(),
            (Some(_), Some(origin)) if self.0.iter().any(|known| known == origin) => origin.to_owned(),
            (Some(first), _) => first.clone(),
        }
    }
}

/// Scheme, host and port of an address.
fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Some(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_console_every_origin_may_call() {
        assert_eq!(Origins::default().allowed(None), "*");
        assert_eq!(Origins::default().allowed(Some("http://a")), "http://a");
    }

    #[test]
    fn with_a_console_only_its_origins_may_call() {
        let origins = Origins::new(&["https://a.test:8445/manager".to_owned(), "http://b.test".to_owned()]);
        assert_eq!(origins.allowed(Some("http://b.test")), "http://b.test");
        assert_eq!(origins.allowed(Some("http://evil.test")), "https://a.test:8445");
        assert_eq!(origins.allowed(None), "https://a.test:8445");
    }
}
