//! Look-ups by identity in the version of the directories that is in force.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use gibbon_pdk::{Clock, Consumer, ConsumerGroup, Credential, CredentialKind, Directory};
use gibbon_plan::{Directories, Publisher};
use smallvec::SmallVec;
use uuid::Uuid;

/// One worker's view. It takes up a new version at the first look-up after its publication, so that a revoked
/// credential is refused from the next request; until then a look-up costs one comparison more.
pub struct DirectoryPort {
    publisher: Arc<Publisher>,
    number: Cell<u64>,
    version: RefCell<Directories>,
    clock: Arc<dyn Clock>,
}

impl DirectoryPort {
    #[must_use]
    pub fn new(publisher: Arc<Publisher>, clock: Arc<dyn Clock>) -> Self {
        let number = Cell::new(publisher.number());
        let version = RefCell::new(publisher.current().directories.clone());
        DirectoryPort { publisher, number, version, clock }
    }

    fn look_up<T>(&self, find: impl FnOnce(&Directories) -> T) -> T {
        // The number is read before the plan: a publication in between is noticed by the next look-up.
        let number = self.publisher.number();
        if self.number.replace(number) != number {
            *self.version.borrow_mut() = self.publisher.current().directories.clone();
        }
        find(&self.version.borrow())
    }
}

impl Directory for DirectoryPort {
    fn consumer(&self, id: Uuid) -> Option<Arc<Consumer>> {
        self.look_up(|d| d.consumer(id))
    }

    fn consumer_by_username(&self, workspace: Uuid, username: &str) -> Option<Arc<Consumer>> {
        self.look_up(|d| d.consumer_by_username(workspace, username))
    }

    fn consumer_by_custom_id(&self, workspace: Uuid, custom_id: &str) -> Option<Arc<Consumer>> {
        self.look_up(|d| d.consumer_by_custom_id(workspace, custom_id))
    }

    fn credential(&self, workspace: Uuid, kind: CredentialKind, key: &str) -> Option<Arc<Credential>> {
        self.look_up(|d| d.credential(workspace, kind, key, self.clock.wall()))
    }

    fn credential_by_id(&self, kind: CredentialKind, id: Uuid) -> Option<Arc<Credential>> {
        self.look_up(|d| d.credential_by_id(kind, id, self.clock.wall()))
    }

    fn credentials_of(&self, kind: CredentialKind, consumer: Uuid) -> SmallVec<[Arc<Credential>; 4]> {
        self.look_up(|d| d.credentials_of(kind, consumer, self.clock.wall()))
    }

    fn groups_of(&self, consumer: Uuid) -> Option<Arc<[Arc<ConsumerGroup>]>> {
        self.look_up(|d| d.groups_of(consumer))
    }
}
