//! Uploads as `multipart/form-data` (RFC 7578): the few short fields beside the file that the gateway looks at.

use memchr::memmem;

/// The boundary that a Content-Type names.
pub fn boundary(content_type: &str) -> Option<&str> {
    let (media, parameters) = content_type.split_once(';')?;
    if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    // RFC 2046: one to seventy characters.
    (1..=70).contains(&named.len()).then_some(named)
}

/// The values of the field `name`: whoever reads the form may take any of several.
pub fn values(body: &[u8], boundary: &str, name: &str) -> Vec<String> {
    let text = |range: std::ops::Range<usize>| body.get(range).map(|v| String::from_utf8_lossy(v).into_owned());
    places(body, boundary, name).into_iter().filter_map(text).collect()
}

/// The form with the field `name` set to `value`, wherever it stands; in front if it does not.
pub fn with(body: &[u8], boundary: &str, name: &str, value: &str) -> Vec<u8> {
    let places = places(body, boundary, name);
    let mut out = Vec::with_capacity(body.len() + value.len() + 128);
    if places.is_empty() {
        let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        out.extend_from_slice(part.as_bytes());
    }
    let mut at = 0;
    for place in places {
        out.extend_from_slice(body.get(at..place.start).unwrap_or_default());
        out.extend_from_slice(value.as_bytes());
        at = place.end;
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    out
}

/// Where the values of a field stand.
fn places(body: &[u8], boundary: &str, name: &str) -> Vec<std::ops::Range<usize>> {
    let delimiter = format!("--{boundary}");
    let starts: Vec<usize> = memmem::find_iter(body, delimiter.as_bytes())
        .filter(|at| *at == 0 || at.checked_sub(1).and_then(|before| body.get(before)) == Some(&b'\n'))
        .collect();
    let mut out = Vec::new();
    for (number, start) in starts.iter().enumerate() {
        let from = start + delimiter.len();
        let to = starts.get(number + 1).copied().unwrap_or(body.len());
        let Some(part) = body.get(from..to) else { continue };
        let Some(head) = memmem::find(part, b"\r\n\r\n") else { continue };
        if !names(part.get(..head).unwrap_or_default(), name) {
            continue;
        }
        let end = if part.ends_with(b"\r\n") { to - 2 } else { to };
        let value = from + head + 4;
        if value <= end {
            out.push(value..end);
        }
    }
    out
}

/// Whether the head of a part says that it is this field.
fn names(head: &[u8], name: &str) -> bool {
    let head = String::from_utf8_lossy(head);
    head.lines().any(|line| {
        let Some((field, value)) = line.split_once(':') else { return false };
        field.trim().eq_ignore_ascii_case("content-disposition")
            && value.split(';').any(|parameter| {
                let named = parameter.trim().split_once('=');
                named.is_some_and(|(n, v)| n.trim().eq_ignore_ascii_case("name") && v.trim().trim_matches('"') == name)
            })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const FORM: &str = "--b1\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--b1\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/mpeg\r\n\r\n--b2 name=\"model\"\r\n--b1--\r\n";

    #[test]
    fn the_boundary_is_that_of_the_header() {
        assert_eq!(boundary("multipart/form-data; boundary=b1"), Some("b1"));
        assert_eq!(boundary("Multipart/Form-Data; charset=x; Boundary=\"b 1\""), Some("b 1"));
        assert_eq!(boundary("multipart/mixed; boundary=b1"), None);
        assert_eq!(boundary("multipart/form-data"), None);
    }

    #[test]
    fn fields_are_read_and_set_without_touching_files() {
        assert_eq!(values(FORM.as_bytes(), "b1", "model"), ["whisper"]);
        assert_eq!(values(FORM.as_bytes(), "b1", "language"), Vec::<String>::new());
        let set = with(FORM.as_bytes(), "b1", "model", "other");
        assert_eq!(String::from_utf8(set).unwrap(), FORM.replace("whisper", "other"));
        let added = with(FORM.as_bytes(), "b1", "language", "de");
        assert_eq!(values(&added, "b1", "language"), ["de"]);
        assert!(added.ends_with(FORM.as_bytes()));
    }

    #[test]
    fn each_of_several_counts() {
        let twice = format!("{}{FORM}", FORM.trim_end_matches("--b1--\r\n"));
        assert_eq!(values(twice.as_bytes(), "b1", "model"), ["whisper", "whisper"]);
        assert_eq!(values(&with(twice.as_bytes(), "b1", "model", "m"), "b1", "model"), ["m", "m"]);
    }
}
