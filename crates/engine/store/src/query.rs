//! What can be asked of a store.

use std::sync::Arc;

use gibbon_plan::Change;
use uuid::Uuid;

use crate::error::StoreError;
use crate::row::{Key, Row};

/// Which tags rows must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tags {
    #[default]
    Whatever,
    All(Vec<String>),
    Any(Vec<String>),
}

impl Tags {
    /// Whether a row with these tags is meant.
    pub fn admit(&self, tags: &[Box<str>]) -> bool {
        let has = |wanted: &String| tags.iter().any(|tag| **tag == **wanted);
        match self {
            Tags::Whatever => true,
            Tags::All(wanted) => wanted.iter().all(has),
            Tags::Any(wanted) => wanted.iter().any(has),
        }
    }
}

/// A page of rows of one kind, by identifier.
#[derive(Clone, Debug)]
pub struct Query {
    pub entity: Arc<str>,
    /// Rows of this workspace, and none else; of all where it is not given.
    pub workspace: Option<Uuid>,
    /// Only rows whose field names this identifier.
    pub parent: Option<(Arc<str>, Uuid)>,
    pub tags: Tags,
    /// Only rows after this one.
    pub after: Option<Uuid>,
    /// At most so many rows.
    pub limit: usize,
}

/// One tag of one entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tagged {
    pub entity: Arc<str>,
    pub id: Uuid,
    pub tag: Box<str>,
}

/// A row as it is stored.
#[derive(Clone, Debug)]
pub struct Text {
    pub id: Uuid,
    /// When its time is over, in seconds since the epoch.
    pub expires: Option<f64>,
    pub document: String,
}

/// Reading, as of one moment.
pub trait Rows {
    /// A row, also one whose time is over.
    fn get(&mut self, entity: &str, id: Uuid) -> Result<Option<Row>, StoreError>;

    /// Who has that key.
    fn owner(&mut self, key: &Key) -> Result<Option<Uuid>, StoreError>;

    fn page(&mut self, query: &Query) -> Result<Vec<Row>, StoreError>;

    /// As [`Self::page`], each row as the text it is stored as. `None` where what is stored is not what it means, or no
    /// text.
    fn page_texts(&mut self, _query: &Query) -> Result<Option<Vec<Text>>, StoreError> {
        Ok(None)
    }

    /// All rows of a kind whose field names `parent`.
    fn referrers(&mut self, entity: &str, field: &str, parent: Uuid) -> Result<Vec<Row>, StoreError>;

    /// Tags in order of entity, identifier and tag, after that place.
    fn tagged(
        &mut self,
        workspace: Uuid,
        tag: Option<&str>,
        after: Option<&Tagged>,
        limit: usize,
    ) -> Result<Vec<Tagged>, StoreError>;

    /// The number of the last change.
    fn sequence(&mut self) -> Result<u64, StoreError>;

    /// Changes after that number, in the order in which they were committed. `None` if they are no longer known.
    fn changes_after(&mut self, sequence: u64, limit: usize) -> Result<Option<Vec<(u64, Change)>>, StoreError>;

    /// Identifiers of rows whose time is over: entity, workspace, identifier.
    fn expired(&mut self, now: f64, limit: usize) -> Result<Vec<(Arc<str>, Uuid, Uuid)>, StoreError>;

    /// A value that the gateway keeps for itself.
    fn parameter(&mut self, name: &str) -> Result<Option<String>, StoreError>;
}
