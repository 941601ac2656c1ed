//! What a look-up hands out: the route's value and what of the path it matched.

use gibbon_expr::PathHit;

use crate::entry::Hit;
use crate::pattern::Regex;

/// The winning route.
#[derive(Debug)]
pub struct Found<'a, T> {
    pub value: &'a T,
    /// What `strip_path` takes away is as many bytes from the start of the path as this is long.
    pub matched_path: Option<&'a [u8]>,
    /// Whether a regular expression matched the path.
    pub is_regex: bool,
    path: &'a [u8],
    hit: Hit<'a>,
}

/// The groups of a path's regular expression.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captures {
    /// By number, the whole match first; `None` for a group that took no part.
    pub numbered: Vec<Option<Vec<u8>>>,
    pub named: Vec<(String, Vec<u8>)>,
}

impl<'a, T> Found<'a, T> {
    pub(crate) fn new(value: &'a T, path: &'a [u8], hit: Hit<'a>) -> Found<'a, T> {
        let (matched_path, is_regex) = match hit {
            Hit::Nothing => (None, false),
            Hit::Prefix(length) => (path.get(..length), false),
            Hit::Regex { start, end, .. } => (path.get(start..end), true),
            Hit::Expression(PathHit::Text(text)) => (Some(text), false),
            Hit::Expression(PathHit::Pattern { start, end, .. }) => (path.get(start..end), true),
        };
        Found { value, matched_path, is_regex, path, hit }
    }

    /// The groups of the regular expression that matched, if its first group took part: a match without
    /// groups has nothing to tell. They are computed here, not during the look-up.
    #[must_use]
    pub fn captures(&self) -> Option<Captures> {
        let captures = match self.hit {
            Hit::Regex { regex: Regex::Linear(pattern), .. } => linear(pattern, self.path),
            Hit::Regex { regex: Regex::Backtracking(regex), .. } => backtracking(regex, self.path),
            Hit::Expression(PathHit::Pattern { pattern, lower, .. }) if lower => {
                linear(pattern, String::from_utf8_lossy(self.path).to_lowercase().as_bytes())
            }
            Hit::Expression(PathHit::Pattern { pattern, .. }) => linear(pattern, self.path),
            _ => None,
        };
        captures.filter(|captures| captures.numbered.get(1).is_some_and(Option::is_some))
    }
}

fn linear(pattern: &gibbon_expr::Pattern, path: &[u8]) -> Option<Captures> {
    if pattern.groups() < 2 {
        return None;
    }
    let groups = pattern.captures(path)?;
    let owned = |index: usize| groups.get(index).map(|group| group.as_bytes().to_vec());
    let named =
        pattern.group_names().enumerate().filter_map(|(index, name)| Some((name?.to_owned(), owned(index)?))).collect();
    Some(Captures { numbered: (0..groups.len()).map(owned).collect(), named })
}

fn backtracking(regex: &pcre2::bytes::Regex, path: &[u8]) -> Option<Captures> {
    let groups = regex.captures(path).ok().flatten()?;
    let owned = |index: usize| groups.get(index).map(|group| group.as_bytes().to_vec());
    let named = regex
        .capture_names()
        .iter()
        .enumerate()
        .filter_map(|(index, name)| Some((name.clone()?, owned(index)?)))
        .collect();
    Some(Captures { numbered: (0..groups.len()).map(owned).collect(), named })
}
