//! Look-ups by identity in the version of the directories that a worker works with.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use gibbon_pdk::{Clock, Consumer, ConsumerGroup, Credential, CredentialKind, Directory};
use gibbon_plan::Directories;
use smallvec::SmallVec;
use uuid::Uuid;

/// One worker's view: the worker puts a new version in when it takes up a new plan.
#[derive(Clone)]
pub struct DirectoryPort {
    version: Rc<RefCell<Directories>>,
    clock: Arc<dyn Clock>,
}

impl DirectoryPort {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        DirectoryPort { version: Rc::default(), clock }
    }

    /// Look-ups from now on see this version.
    pub fn set(&self, version: Directories) {
        *self.version.borrow_mut() = version;
    }
}

impl Directory for DirectoryPort {
    fn consumer(&self, id: Uuid) -> Option<Arc<Consumer>> {
        self.version.borrow().consumer(id)
    }

    fn consumer_by_username(&self, workspace: Uuid, username: &str) -> Option<Arc<Consumer>> {
        self.version.borrow().consumer_by_username(workspace, username)
    }

    fn consumer_by_custom_id(&self, workspace: Uuid, custom_id: &str) -> Option<Arc<Consumer>> {
        self.version.borrow().consumer_by_custom_id(workspace, custom_id)
    }

    fn credential(&self, workspace: Uuid, kind: CredentialKind, key: &str) -> Option<Arc<Credential>> {
        self.version.borrow().credential(workspace, kind, key, self.clock.wall())
    }

    fn credential_by_id(&self, kind: CredentialKind, id: Uuid) -> Option<Arc<Credential>> {
        self.version.borrow().credential_by_id(kind, id, self.clock.wall())
    }

    fn credentials_of(&self, kind: CredentialKind, consumer: Uuid) -> SmallVec<[Arc<Credential>; 4]> {
        self.version.borrow().credentials_of(kind, consumer, self.clock.wall())
    }

    fn groups_of(&self, consumer: Uuid) -> Option<Arc<[Arc<ConsumerGroup>]>> {
        self.version.borrow().groups_of(consumer)
    }
}
