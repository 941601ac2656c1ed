//! `multipart/form-data` (RFC 7578), as far as forms need it: names and texts. Files are read as text.

/// How many parts are read.
const MAX_PARTS: usize = 1000;

/// The fields of a body, or nothing if it is not well-formed. `parameters` are those of the content type.
pub fn parse(body: &[u8], parameters: &str) -> Option<Vec<(String, String)>> {
    let boundary = parameter(parameters, "boundary")?;
    if boundary.is_empty() || boundary.len() > 70 {
        return None; // RFC 2046 section 5.1.1
    }
    let delimiter = format!("--{boundary}");
    let body = body.get(find(body, delimiter.as_bytes())? + delimiter.len()..)?;
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
    let head = String::from_utf8_lossy(part.get(..head_end)?).into_owned();
    let value = part.get(head_end + 4..)?;
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.to_owned())
    })?;
    let name = parameter(disposition.split_once(';')?.1, "name")?;
    Some((name, String::from_utf8_lossy(value).into_owned()))
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
        for length in 0..end {
            assert_eq!(parse(BODY.get(..length).unwrap().as_bytes(), "boundary=B"), None, "{length}");
        }
    }
}
