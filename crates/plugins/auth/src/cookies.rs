//! Cookies of a request (RFC 6265 4.2), as far as plugins read them.

use gibbon_pdk::Exchange;

/// The first cookie of that name, over all Cookie headers.
#[must_use]
pub fn get<'a>(x: &'a Exchange, name: &'a str) -> Option<&'a str> {
    all(x).find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// Names and values in order; quotes stay, as nginx leaves them.
pub fn all(x: &Exchange) -> impl Iterator<Item = (&str, &str)> {
    let texts = x.request.headers.get_all("cookie").filter_map(|v| std::str::from_utf8(v).ok());
    texts.flat_map(|text| text.split(';')).filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim(), value.trim()))
    })
}

#[cfg(test)]
mod tests {
    use crate::rig::request;

    #[test]
    fn a_cookie_is_found_in_any_of_several_headers() {
        let x = request("GET /\nCookie: a=1; b=x=y;c\nCookie: d=; a=2");
        let get = |name| super::get(&x, name);
        assert_eq!((get("a"), get("b"), get("c"), get("d"), get("A")), (Some("1"), Some("x=y"), None, Some(""), None));
    }
}
