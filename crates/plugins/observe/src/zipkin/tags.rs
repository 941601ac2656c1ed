//! Tags that a request names in a header: `name=value; other=value`.

use gibbon_message::Headers;

/// Tags of a request at most.
const MAX_TAGS: usize = 64;

/// The pairs of all headers of that name. What is no pair is left out.
pub fn of_request<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
    headers.get_all(name).flat_map(|value| value.split(|byte| *byte == b';')).filter_map(pair).take(MAX_TAGS)
}

fn pair(item: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(item);
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let well_formed = !name.is_empty() && !value.is_empty() && !name.contains(char::is_whitespace);
    well_formed.then(|| (name.to_owned(), value.to_owned()))
}
