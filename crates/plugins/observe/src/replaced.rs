//! Older settings of queueing plugins that the `queue` record replaced. They are still taken.

use gibbon_schema::{Deprecation, Field};
use serde_json::{Value, json};

/// `retry_count`, without effect.
pub fn retry_count(plugin: &str) -> Field {
    let message =
        format!("{plugin}: config.retry_count no longer works, please use config.queue.max_retry_time instead");
    Field::integer().deprecated(deprecation(message, json!(10)))
}

/// `queue_size`, now `queue.max_batch_size`.
pub fn queue_size(plugin: &str) -> Field {
    Field::integer().deprecated(replaced(plugin, "queue_size", "max_batch_size", json!(1)))
}

/// `flush_timeout`, now `queue.max_coalescing_delay`.
pub fn flush_timeout(plugin: &str) -> Field {
    Field::number().deprecated(replaced(plugin, "flush_timeout", "max_coalescing_delay", json!(2)))
}

fn replaced(plugin: &str, field: &str, by: &str, old_default: Value) -> Deprecation {
    deprecation(format!("{plugin}: config.{field} is deprecated, please use config.queue.{by} instead"), old_default)
}

fn deprecation(message: String, old_default: Value) -> Deprecation {
    Deprecation {
        message: message.into(),
        removal_in_version: Some("4.0".into()),
        old_default: Some(old_default),
        ..Deprecation::default()
    }
}
