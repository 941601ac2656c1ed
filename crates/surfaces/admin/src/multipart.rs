//! `multipart/form-data` (RFC 7578), as far as forms need it: names and texts. Files are read as text.

/// How many parts are read.
const MAX_PARTS: usize = 1000;

/// The fields of a body, none if it has no parts, or nothing if it is cut off or not UTF-8. `parameters` are those of the content type.
pub fn parse(body: &[u8], parameters: &str) -> Option<Vec<(String, String)>> {
    // RFC 2046 section 5.1.1
    let boundary = parameter(parameters, "boundary").filter(|b| !b.is_empty() && b.len() <= 70);
    let delimiter = boundary.map(|boundary| format!("--{boundary}"));
    let begin = delimiter.as_ref().and_then(|delimiter| Some(find(body, delimiter.as_bytes())? + delimiter.len()));
    let (Some(delimiter), Some(begin)) = (delimiter, begin) else { return Some(Vec::new()) };
    let body = body.get(begin..)?;
    let separator = format!("\r\n{delimiter}");
    let mut fields = Vec::new();
    let mut rest = body;
    while !rest.starts_with(b"--") {
        if fields.len() == MAX_PARTS {
            return None;
        }
        let end = find(rest, separator.as_bytes())?;
        let (part, after) = rest.split_at(end);
        fields.push(field(part.strip_prefix(b"\r\n")?)?);
        rest = after.get(separator.len()..)?;
    }
    Some(fields)
}

fn field(part: &[u8]) -> Option<(String, String)> {
    let head_end = find(part, b"\r\n\r\n")?;
    let head = std::str::from_utf8(part.get(..head_end)?).ok()?;
    let value = part.get(head_end + 4..)?;
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.to_owned())
    })?;
    let name = parameter(disposition.split_once(';')?.1, "name")?;
    Some((name, String::from_utf8(value.to_vec()).ok()?))
}

/// The value of `name=value` or `name="value"` in a list of parameters.
fn parameter(list: &str, wanted: &str) -> Option<String> {
    list.split(';').find_map(|item| {
        let (name, value) = item.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BODY: &str = "--B\r\nContent-Disposition: form-data; name=\"cert\"; filename=\"a.pem\"\r\nContent-Type: text/plain\r\n\r\nline 1\r\nline 2\r\n--B\r\ncontent-disposition: form-data; name=tags[]\r\n\r\n\r\n--B--\r\n";

    #[test]
    fn fields_and_files_are_texts() {
        let fields = parse(BODY.as_bytes(), " boundary=B").unwrap();
        assert_eq!(fields, [("cert".into(), "line 1\r\nline 2".into()), ("tags[]".into(), String::new())]);
    }

    #[test]
    fn a_body_that_is_cut_off_is_refused_wherever_it_ends() {
        let end = BODY.rfind("--\r\n").unwrap();
        let begin = "--B".len();
        for length in begin..end {
            assert_eq!(parse(BODY.get(..length).unwrap().as_bytes(), "boundary=B"), None, "{length}");
        }
    }
}
