//! Rules of ai-response-transformer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::instructions::Instructions;

#[test]
fn instructions_say_status_headers_and_body() {
    let read =
        Instructions::parse(r#"{"headers":{"x-new":1,"Content-Length":"9"},"status":209,"body":"<a/>"}"#).unwrap();
    let headers = vec![("x-new".to_owned(), "1".to_owned())];
    assert_eq!(read, Instructions { status: 209, headers, body: "<a/>".into() });
    assert_eq!(Instructions::parse(r#"{"body":{"a":1}}"#).unwrap().body, r#"{"a":1}"#);
    for bad in ["The answer is 42.", "[]", r#"{"status":42}"#, r#"{"status":"x"}"#] {
        assert!(Instructions::parse(bad).is_err(), "{bad}");
    }
}
