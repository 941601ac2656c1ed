//! Files below one directory, as secrets are mounted into containers: `{vault://fs/db/password}` is the key `password` of
//! the JSON object in the file `db`. A line end at the end of a file is the editor's and is left out.
//!
//! Nothing outside the directory is read, not even through a symbolic link.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use gibbon_conf::vault::Reference;
use gibbon_pdk::SendFuture;

use super::{MAX_SECRET, ReadError, Strategy};
use crate::config::{Config, ConfigError};

pub struct Files {
    directory: PathBuf,
}

impl Files {
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Files { directory: config.required("prefix")?.into() })
    }

    fn look_up(&self, resource: &str) -> Result<String, ReadError> {
        let path = self.path(resource)?;
        let failed =
            |error: &std::io::Error| ReadError::File { path: path.display().to_string(), cause: error.to_string() };
        let file = std::fs::File::open(&path).map_err(|e| failed(&e))?;
        // A named pipe would never end.
        if !file.metadata().map_err(|e| failed(&e))?.is_file() {
            return Err(ReadError::File { path: path.display().to_string(), cause: "it is not a file".into() });
        }
        let mut text = String::new();
        file.take(MAX_SECRET as u64 + 1).read_to_string(&mut text).map_err(|e| failed(&e))?;
        if text.len() > MAX_SECRET {
            return Err(ReadError::TooLarge);
        }
        let end = text.strip_suffix('\n').map(|t| t.strip_suffix('\r').unwrap_or(t)).map_or(text.len(), str::len);
        text.truncate(end);
        Ok(text)
    }

    /// The file of a resource, all links followed.
    fn path(&self, resource: &str) -> Result<PathBuf, ReadError> {
        let is_plain = Path::new(resource).components().all(|part| matches!(part, Component::Normal(_)));
        let path = self.directory.join(resource);
        if !is_plain {
            return Err(outside(&path));
        }
        let canonical = |path: &Path| {
            path.canonicalize().map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => ReadError::NotFound,
                _ => ReadError::File { path: path.display().to_string(), cause: error.to_string() },
            })
        };
        let (directory, path) = (canonical(&self.directory)?, canonical(&path)?);
        if path.starts_with(&directory) { Ok(path) } else { Err(outside(&path)) }
    }
}

fn outside(path: &Path) -> ReadError {
    ReadError::File { path: path.display().to_string(), cause: "it is outside the vault's directory".into() }
}

impl Strategy for Files {
    fn read_now(&self, reference: &Reference) -> Option<Result<String, ReadError>> {
        Some(self.look_up(&reference.resource))
    }

    fn read<'a>(&'a self, reference: &'a Reference) -> SendFuture<'a, Result<String, ReadError>> {
        Box::pin(std::future::ready(self.look_up(&reference.resource)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_directory_are_read_and_no_others() {
        let place = tempfile::tempdir().unwrap();
        let inside = place.path().join("secrets");
        std::fs::create_dir_all(inside.join("team")).unwrap();
        std::fs::write(inside.join("token"), "s3cret\n").unwrap();
        std::fs::write(inside.join("team/raw"), "two\nlines").unwrap();
        std::fs::write(place.path().join("other"), "not this").unwrap();
        std::os::unix::fs::symlink(inside.join("token"), inside.join("link")).unwrap();
        std::os::unix::fs::symlink(place.path().join("other"), inside.join("leak")).unwrap();
        let files = Files { directory: inside };

        assert_eq!(files.look_up("token").unwrap(), "s3cret");
        assert_eq!(files.look_up("team/raw").unwrap(), "two\nlines");
        assert_eq!(files.look_up("link").unwrap(), "s3cret");
        for outside in ["../other", "leak", "/etc/hostname", "team/../../other"] {
            assert!(matches!(files.look_up(outside), Err(ReadError::File { .. })), "{outside}");
        }
        assert!(matches!(files.look_up("absent"), Err(ReadError::NotFound)));
        assert!(matches!(files.look_up("team"), Err(ReadError::File { .. })), "a directory is no secret");
    }
}
