//! The last configuration a node without a datastore accepted: one compressed file, read at its next start.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Map, Value};

use crate::memory::Table;

/// The name of the file in the prefix.
pub const FILE: &str = "configuration.json.gz";

/// A file that unpacks to more is damaged or hostile; the largest real ones stay far below.
const MAX_BYTES: u64 = 4 << 30;

/// How much text is packed at once, in bytes.
const TEXT_AT_ONCE: usize = 64 << 10;

/// A configuration as it was accepted.
#[derive(Debug, Default, PartialEq)]
pub struct Saved {
    /// Of the text it came from, 32 hexadecimal digits.
    pub hash: String,
    /// Complete documents by kind.
    pub entities: Map<String, Value>,
}

/// Writes the configuration aside and puts it in the place of the old one, so that a crash leaves one or the other.
///
/// # Errors
/// Those of the file system.
pub fn save(directory: &Path, hash: &str, table: &Table) -> io::Result<()> {
    let aside = directory.join(format!("{FILE}.new"));
    let file = private(&aside)?;
    // JSON is written a few bytes at a time, and each write to the encoder clears all that is free of its buffer.
    let mut text = BufWriter::with_capacity(TEXT_AT_ONCE, GzEncoder::new(BufWriter::new(file), Compression::fast()));
    write_json(&mut text, hash, table)?;
    let packed = text.into_inner().map_err(io::IntoInnerError::into_error)?;
    let file = packed.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    fs::rename(&aside, directory.join(FILE))?;
    File::open(directory)?.sync_all()
}

/// It holds secrets: nobody else may read it.
fn private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// By hand, so that a large table is not copied into one tree first.
fn write_json(out: &mut impl io::Write, hash: &str, table: &Table) -> io::Result<()> {
    write!(out, "{{\"hash\":\"{hash}\",\"entities\":{{")?;
    for (n, kind) in table.kinds().enumerate() {
        write!(out, "{}\"{kind}\":[", if n > 0 { "," } else { "" })?;
        for (n, row) in table.of(kind).enumerate() {
            if n > 0 {
                out.write_all(b",")?;
            }
            serde_json::to_writer(&mut *out, &*row.document)?;
        }
        out.write_all(b"]")?;
    }
    out.write_all(b"}}")
}

/// The saved configuration, if there is one.
///
/// # Errors
/// A file that cannot be read or is damaged.
pub fn load(directory: &Path) -> io::Result<Option<Saved>> {
    let file = match File::open(directory.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    GzDecoder::new(file).take(MAX_BYTES).read_to_end(&mut text)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{FILE} is damaged"));
    let Ok(Value::Object(mut saved)) = serde_json::from_slice(&text) else { return Err(damaged()) };
    match (saved.remove("hash"), saved.remove("entities")) {
        (Some(Value::String(hash)), Some(Value::Object(entities))) => Ok(Some(Saved { hash, entities })),
        _ => Err(damaged()),
    }
}
