//! Examples: configurations whose comments say which requests prove them.
//!
//! ```yaml
//! # setting: router_flavor = expressions
//! # try: GET /orders | Host: shop.test | apikey: ada => 200 | X-Consumer-Username: ada
//! # try: GET /orders => 401
//! ```
//!
//! On the left the request line's method and target and its headers; on the right the status, and then headers of the
//! answer, or words that its body must hold.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use gibbon_testkit::client;

/// What the comments of an example say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// Settings by name.
    pub settings: Vec<(String, String)>,
    /// Requests in order.
    pub tries: Vec<Try>,
}

/// One request and what must come back.
#[derive(Debug, PartialEq, Eq)]
pub struct Try {
    /// The comment itself, to name it in a failure.
    pub line: String,
    method: String,
    target: String,
    headers: Vec<String>,
    status: u16,
    expected: Vec<String>,
}

impl Example {
    /// Reads the comments of a configuration.
    ///
    /// # Errors
    /// When a comment begins like one of ours and is none.
    pub fn parse(text: &str) -> Result<Self> {
        let mut example = Self::default();
        for line in text.lines() {
            if let Some(setting) = line.strip_prefix("# setting: ") {
                let (name, value) = setting.split_once('=').with_context(|| format!("no = in {line:?}"))?;
                example.settings.push((name.trim().to_owned(), value.trim().to_owned()));
            } else if let Some(said) = line.strip_prefix("# try: ") {
                example.tries.push(Try::parse(said)?);
            }
        }
        ensure!(!example.tries.is_empty(), "no `# try:` line proves anything");
        Ok(example)
    }
}

impl Try {
    fn parse(line: &str) -> Result<Self> {
        let (request, answer) = line.split_once(" => ").with_context(|| format!("no => in {line:?}"))?;
        let mut asked = request.split(" | ").map(|part| part.trim().to_owned());
        let first = asked.next().unwrap_or_default();
        let (method, target) = first.split_once(' ').with_context(|| format!("no method and target in {line:?}"))?;
        let mut expected = answer.split(" | ").map(|part| part.trim().to_owned());
        let status = expected.next().unwrap_or_default().parse().with_context(|| format!("no status in {line:?}"))?;
        Ok(Self {
            line: line.to_owned(),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: asked.collect(),
            status,
            expected: expected.collect(),
        })
    }

    /// Sends the request and compares.
    ///
    /// # Errors
    /// What was different.
    pub fn check(&self, proxy: SocketAddr) -> Result<()> {
        let mut request = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", self.method, self.target);
        for header in &self.headers {
            request.push_str(&format!("{header}\r\n"));
        }
        if !self.headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
            request.push_str("Host: example.test\r\n");
        }
        let answer = client::once(proxy, request + "\r\n").with_context(|| self.line.clone())?;
        let status = answer.status();
        ensure!(status == self.status, "{}\n  answered {status}: {}", self.line, answer.text());
        for expected in &self.expected {
            let header = expected.split_once(": ").is_some_and(|(name, value)| answer.header(name) == Some(value));
            let body = answer.text().contains(expected.as_str());
            ensure!(header || body, "{}\n  lacks {expected:?}: {answer:?}", self.line);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_settings_and_tries() {
        let text = "# setting: a_b = c\n# try: GET /x | Host: h | K: v => 401 | message\n_format_version: '3.0'\n";
        let example = Example::parse(text).unwrap();
        assert_eq!(example.settings, [("a_b".to_owned(), "c".to_owned())]);
        let only = &example.tries[0];
        assert_eq!((only.method.as_str(), only.target.as_str(), only.status), ("GET", "/x", 401));
        assert_eq!((only.headers.len(), only.expected.as_slice()), (2, ["message".to_owned()].as_slice()));
    }

    #[test]
    fn an_example_that_proves_nothing_is_refused() {
        assert!(Example::parse("_format_version: '3.0'").is_err());
        assert!(Example::parse("# try: GET / = 200").is_err());
    }
}
