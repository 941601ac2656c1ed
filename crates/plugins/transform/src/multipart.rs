//! Forms of the kind `multipart/form-data` (RFC 7578), taken apart.

/// One field of a multipart form: everything between two boundaries, and its name.
pub struct Field {
    pub name: String,
    pub head: Vec<u8>,
    pub value: Vec<u8>,
}

/// The boundary that a Content-Type names.
pub fn boundary(content_type: &str) -> Option<&str> {
    let parameter = content_type.split(';').map(str::trim).find_map(|p| p.strip_prefix("boundary="))?;
    Some(parameter.trim_matches('"')).filter(|b| !b.is_empty())
}

/// The fields of a form, in order; `None` if it is not whole.
pub fn fields(boundary: &str, body: &[u8]) -> Option<Vec<Field>> {
    let text = body.to_vec();
    let mark = format!("--{boundary}");
    let mut found = Vec::new();
    let mut rest = text.get(find(&text, mark.as_bytes())? + mark.len()..)?;
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = find(part, format!("\r\n{mark}").as_bytes())?;
        let (part, behind) = (part.get(..end)?, part.get(end + 2 + mark.len()..)?);
        let cut = find(part, b"\r\n\r\n")?;
        let (head, value) = (part.get(..cut)?.to_vec(), part.get(cut + 4..)?.to_vec());
        found.push(Field { name: name_of(&head).unwrap_or_default(), head, value });
        rest = behind;
    }
    Some(found)
}

fn name_of(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let (_, behind) = text.split_once("name=\"")?;
    Some(behind.split_once('"')?.0.to_owned())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w == what)
}
