//! The grammar of `kong.conf`: `name = value` lines, comments, continued lines. Values stay text here.

use std::sync::Arc;

use crate::origin::{Notice, NoticeKind, Origin};

/// One assignment of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub name: String,
    pub value: String,
    pub origin: Origin,
}

/// Reads a settings file. A line that is neither blank, comment nor assignment is passed over with a notice, as Kong's
/// reader passes over it in silence.
pub(crate) fn parse(path: &str, text: &str) -> (Vec<Assignment>, Vec<Notice>) {
    let path: Arc<str> = Arc::from(path);
    let mut assignments: Vec<Assignment> = Vec::new();
    let mut notices = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let origin = Origin::File { path: Arc::clone(&path), line: index + 1 };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with(';') || is_section(line) {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            notices.push(Notice {
                kind: NoticeKind::Ignored,
                text: format!("not of the form name = value, passed over: {}", shortened(line)),
                origin,
            });
            continue;
        };
        let mut value = value.trim().to_owned();
        if value == BLOCK {
            let mut block = Vec::new();
            while let Some((_, next)) = lines.next_if(|(_, next)| next.trim_start().starts_with(BLOCK)) {
                block.extend(next.trim_start().strip_prefix(BLOCK));
            }
            value = block.join("\n");
        } else {
            while continues(&value) {
                value.pop();
                match lines.next() {
                    Some((_, next)) => value.push_str(next.trim()),
                    None => break,
                }
            }
            value = without_comment(&value);
        }
        let name = normalised_name(name.trim());
        if assignments.iter().any(|earlier| earlier.name == name) {
            notices.push(Notice {
                kind: NoticeKind::Ignored,
                text: format!("{name} is given more than once; the last value counts"),
                origin: origin.clone(),
            });
        }
        assignments.push(Assignment { name, value, origin });
    }
    (assignments, notices)
}

/// Opens a value of several lines and begins each of them: `name = |`, then `|first`, `|second`. Nothing in such a line is
/// special, so certificates and declarative text fit. Kong has no such form.
const BLOCK: &str = "|";

/// Writes an assignment so that [`parse`] reads the same value again.
#[must_use]
pub fn assignment(name: &str, value: &str) -> String {
    if value.contains('\n') || value.ends_with('\\') || value == BLOCK {
        let lines: String = value.split('\n').map(|line| format!("|{line}\n")).collect();
        return format!("{name} = |\n{lines}");
    }
    format!("{name} = {}\n", value.replace('#', "\\#"))
}

fn is_section(line: &str) -> bool {
    line.starts_with('[') && line.ends_with(']')
}

/// A trailing backslash continues the value on the next line.
fn continues(value: &str) -> bool {
    value.ends_with('\\')
}

/// Characters other than letters, digits and `_` count as `_`, so that `proxy-listen` is `proxy_listen`.
fn normalised_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Cuts a trailing comment (from the first `#` without a backslash before it) and turns `\#` into `#`.
fn without_comment(value: &str) -> String {
    let mut kept = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'#') => {
                chars.next();
                kept.push('#');
            }
            '#' => break,
            _ => kept.push(c),
        }
    }
    kept.trim().to_owned()
}

/// At most 60 characters of a line, cut before any `:` so that a stray secret is not repeated.
fn shortened(line: &str) -> String {
    line.chars().take_while(|c| *c != ':').take(60).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        parse("kong.conf", text).0.into_iter().map(|a| (a.name, a.value)).collect()
    }

    fn value(text: &str) -> String {
        values(text).pop().unwrap().1
    }

    #[test]
    fn spaces_around_name_and_value_do_not_count() {
        assert_eq!(values("  log_level   =   debug   \r\n"), [("log_level".into(), "debug".into())]);
    }

    #[test]
    fn comment_lines_blank_lines_and_section_heads_are_passed_over_in_silence() {
        let (assignments, notices) = parse("f", "# a\n\n   # b\n[section]\n;c\n");
        assert!(assignments.is_empty() && notices.is_empty());
    }

    #[test]
    fn a_trailing_comment_is_cut() {
        assert_eq!(value("database = off   # in memory"), "off");
    }

    #[test]
    fn an_escaped_hash_belongs_to_the_value() {
        assert_eq!(value(r"pg_password = a\#b#c"), "a#b");
    }

    #[test]
    fn a_trailing_backslash_continues_the_value() {
        assert_eq!(value("plugins = bundled,\\\n   mine\nx = 1").as_str(), "1");
        assert_eq!(values("plugins = bundled,\\\n   mine")[0].1, "bundled,mine");
    }

    #[test]
    fn other_separators_in_a_name_count_as_underscores() {
        assert_eq!(values("proxy-listen = off")[0].0, "proxy_listen");
    }

    #[test]
    fn the_value_may_hold_further_equal_signs() {
        assert_eq!(value("proxy_listen = 0.0.0.0:1 backlog=5"), "0.0.0.0:1 backlog=5");
    }

    #[test]
    fn a_line_without_an_equal_sign_is_told_with_its_number() {
        let (_, notices) = parse("/etc/kong/kong.conf", "\nnonsense\n");
        assert_eq!(
            notices[0].to_string(),
            "not of the form name = value, passed over: nonsense [/etc/kong/kong.conf:2]"
        );
    }

    #[test]
    fn a_name_given_twice_is_told() {
        let (_, notices) = parse("f", "a = 1\na = 2");
        assert_eq!(notices[0].to_string(), "a is given more than once; the last value counts [f:2]");
    }

    #[test]
    fn a_value_of_several_lines_is_taken_as_it_stands() {
        assert_eq!(value("ssl_cert = |\n  |one # \\\n|\n|two\nx = 1").as_str(), "1");
        assert_eq!(values("ssl_cert = |\n  |one # \\\n|\n|two\nx = 1")[0].1, "one # \\\n\ntwo");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_down_reads_the_same_again(text in "(\\PC|\n|#|\\\\){0,60}") {
            let text = text.trim();
            proptest::prop_assert_eq!(values(&assignment("name", text)), [("name".to_owned(), text.to_owned())]);
        }

        #[test]
        fn any_text_is_read_without_failing(text in "(?s).{0,200}") {
            let _ = parse("f", &text);
        }
    }
}
