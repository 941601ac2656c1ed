//! The list of models.

/// One model a client may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelEntry {
    /// Its name.
    pub id: String,
    /// Since when, in seconds since 1970.
    pub created: Option<u64>,
    /// Whose it is.
    pub owner: Option<String>,
    /// A name for people.
    pub title: Option<String>,
}
