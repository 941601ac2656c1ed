//! How metrics name services, routes and consumers.

use gibbon_pdk::{Consumer, Service};
use gibbon_schema::Schema;

/// What stands for a consumer.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerName {
    ConsumerId,
    CustomId,
    Username,
}

impl ConsumerName {
    pub fn of(self, consumer: &Consumer) -> Option<String> {
        match self {
            ConsumerName::ConsumerId => Some(consumer.id.to_string()),
            ConsumerName::CustomId => consumer.custom_id.as_deref().map(str::to_owned),
            ConsumerName::Username => consumer.username.as_deref().map(str::to_owned),
        }
    }
}

/// The name of a service, or its host without one.
pub fn name_or_host(service: &Service) -> &str {
    service.name.as_deref().unwrap_or(&service.host)
}
