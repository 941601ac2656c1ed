//! The targets: one row per parser of bytes that a stranger may choose.
//!
//! To add one: write a function over bytes that calls the parser and asserts what must hold of any input, add its row
//! to [`TARGETS`], and put a few inputs, valid and nearly valid, into `fuzz/corpus/NAME/`.

/// A parser under test. It returns normally for every input; a panic is a finding.
pub struct Target {
    /// The name on the command line, and of the corpus folder.
    pub name: &'static str,
    /// Feeds one input to the parser and asserts what must hold.
    pub run: fn(&[u8]),
    /// Words of the grammar, so that mutation gets past the first byte.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: &[Target] =
    &[Target { name: "uri", run: uri, words: &["/", "..", "%2f", "%", "//", "?", "&", "=", "+", "%00"] }];

/// An absolute path stays absolute and keeps no dot segment, which is what access rules on paths rely on.
fn uri(input: &[u8]) {
    use gibbon_message::uri;
    let path = [b"/", input].concat();
    let clean = uri::normalize(&path);
    assert!(clean.starts_with(b"/"), "an absolute path became relative");
    assert!(
        clean.split(|byte| *byte == b'/').all(|segment| segment != b".." && segment != b"."),
        "a dot segment is left"
    );
    uri::arguments(input).for_each(drop);
    let _ = uri::decode(input, true);
    uri::escape_into(&mut Vec::new(), input);
}
