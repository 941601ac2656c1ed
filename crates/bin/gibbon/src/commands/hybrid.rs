//! The certificate both planes of a cluster share.

use std::path::Path;

use crate::certificates::{self, PairFiles};
use crate::cli::HybridAction;
use crate::exit::{Outcome, fail};
use crate::machine::absolute;
use crate::output::Output;

/// Runs a `hybrid` command.
pub fn run(action: HybridAction, out: &Output) -> Outcome {
    let HybridAction::GenCert { files, days } = action;
    let (cert, key) = match files.as_slice() {
        [] => (Path::new("./cluster.crt"), Path::new("./cluster.key")),
        [cert, key] => (cert.as_path(), key.as_path()),
        _ => return fail("both cert and key path needs to be provided"),
    };
    let files = PairFiles { cert: absolute(cert), key: absolute(key) };
    for file in [&files.cert, &files.key] {
        if file.exists() {
            return fail(format!("{} already exists.\nWill not overwrite it.", file.display()));
        }
    }
    certificates::make_cluster_pair(&files, days)?;
    out.say(format!(
        "Successfully generated certificate/key pairs, they have been written to: '{}' and '{}'.",
        files.cert.display(),
        files.key.display()
    ));
    Ok(())
}
