//! What a look-up hands out: the route's value and what of the path it matched.

use gibbon_expr::{PathHit, Pattern};

use crate::entry::Hit;
use crate::pattern::Engine;

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
        let (matched_path, is_regex) = match &hit {
            Hit::Nothing => (None, false),
            Hit::Prefix(length) => (path.get(..*length), false),
            Hit::Regex { start, end, .. } => (path.get(*start..*end), true),
            Hit::Expression(hits) => match hits.last {
                None => (None, false),
                Some(PathHit::Text(text)) => (Some(text), false),
                Some(PathHit::Pattern { start, end }) => (path.get(start..end), true),
            },
        };
        Found { value, matched_path, is_regex, path, hit }
    }

    /// The groups of the regular expression that matched (of several in an expression, together), if the first group
    /// took part: a match without groups has nothing to tell. They are computed here, not during the look-up.
    #[must_use]
    pub fn captures(&self) -> Option<Captures> {
        let mut captures = Captures::default();
        match &self.hit {
            Hit::Regex { regex, .. } => match regex.engine() {
                Engine::Linear(pattern) => captures.add_linear(pattern, self.path),
                Engine::Backtracking(regex) => captures.add_backtracking(regex, self.path),
            },
            Hit::Expression(hits) => {
                for hit in &hits.patterns {
                    if hit.lower {
                        let lower = String::from_utf8_lossy(self.path).to_lowercase();
                        captures.add_linear(hit.pattern, lower.as_bytes());
                    } else {
                        captures.add_linear(hit.pattern, self.path);
                    }
                }
            }
            Hit::Nothing | Hit::Prefix(_) => {}
        }
        captures.numbered.get(1).is_some_and(Option::is_some).then_some(captures)
    }
}

impl Captures {
    fn add_linear(&mut self, pattern: &Pattern, path: &[u8]) {
        pattern.each_group(path, |number, name, text| self.add(number, name, text));
    }

    fn add_backtracking(&mut self, regex: &pcre2::bytes::Regex, path: &[u8]) {
        if let Ok(Some(groups)) = regex.captures(path) {
            for (number, name) in regex.capture_names().iter().enumerate() {
                self.add(number, name.as_deref(), groups.get(number).map(|group| group.as_bytes()));
            }
        }
    }

    /// A group that took no part leaves what an earlier expression put there.
    fn add(&mut self, number: usize, name: Option<&str>, text: Option<&[u8]>) {
        if self.numbered.len() <= number {
            self.numbered.resize(number + 1, None);
        }
        let Some(text) = text else { return };
        if let Some(slot) = self.numbered.get_mut(number) {
            *slot = Some(text.to_vec());
        }
        if let Some(name) = name {
            match self.named.iter_mut().find(|(own, _)| own == name) {
                Some((_, old)) => *old = text.to_vec(),
                None => self.named.push((name.to_owned(), text.to_vec())),
            }
        }
    }
}
