//! The level of the error log, read and changed while the node runs.

use http::StatusCode;

use crate::answer::Answer;
use crate::call::Call;
use crate::{Admin, LevelError};

const DEFAULT_TIMEOUT: u64 = 60;

pub fn log_level(admin: &Admin) -> Answer {
    Answer::message(StatusCode::OK, format!("log level: {}", admin.node.log_level()))
}

pub fn set_log_level(admin: &Admin, call: &Call) -> Answer {
    let level = call.parameter(0);
    if admin.documents.conductor.is_declarative() {
        let message = "cannot change log level when not using a database";
        return Answer::message(StatusCode::METHOD_NOT_ALLOWED, message);
    }
    let timeout = match call.arguments.get("timeout").map(str::parse::<i64>) {
        None => DEFAULT_TIMEOUT,
        Some(Ok(seconds)) if seconds >= 0 => seconds.unsigned_abs(),
        Some(_) => return Answer::bad("timeout must be greater than or equal to 0"),
    };
    match admin.node.set_log_level(level, timeout) {
        Ok(()) => Answer::message(StatusCode::OK, "log level changed"),
        Err(LevelError::Same) => Answer::message(StatusCode::OK, format!("log level is already {level}")),
        Err(LevelError::Unknown) => Answer::bad(format!("unknown log level: {level}")),
    }
}

/// On this node; other nodes of the cluster are told by whoever connects them.
pub fn set_cluster_log_level(admin: &Admin, call: &Call) -> Answer {
    set_log_level(admin, call)
}
