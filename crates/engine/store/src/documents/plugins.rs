//! A plugin that never runs where it is bound is a mistake: it must share a protocol with its route, or with some route
//! of its service.

use gibbon_model::{EntityDef, protocols_match};
use gibbon_schema::Faults;
use serde_json::Value;
use uuid::Uuid;

use super::Documents;
use crate::error::ChangeError;
use crate::row::Document;

const WITH_ROUTE: &str = "must match the associated route's protocols";
const WITH_SERVICE: &str = "must match the protocols of at least one route pointing to this Plugin's service";

pub(super) async fn check(
    documents: &Documents,
    def: &EntityDef,
    _: Uuid,
    document: &Document,
) -> Result<(), ChangeError> {
    if def.name != "plugins" {
        return Ok(());
    }
    let Some(own) = document.get("protocols").filter(|p| p.is_array()).cloned() else { return Ok(()) };
    let bound_to = |field: &str| document.get(field).and_then(|r| crate::row::uuid(r.get("id")?));
    let (route, service) = (bound_to("route"), bound_to("service"));
    let fault = documents
        .conductor
        .read(move |rows| {
            let shares =
                |row: &crate::Row| protocols_match(&own, row.document.get("protocols").unwrap_or(&Value::Null));
            if let Some(route) = route {
                let row = rows.get("routes", route)?;
                return Ok(row.is_some_and(|row| !shares(&row)).then_some(WITH_ROUTE));
            }
            let Some(service) = service else { return Ok(None) };
            let routes = rows.referrers("routes", "service", service)?;
            Ok((!routes.is_empty() && !routes.iter().any(shares)).then_some(WITH_SERVICE))
        })
        .await?;
    fault.map_or(Ok(()), |message| {
        let mut faults = Faults::default();
        faults.insert("protocols", message);
        Err(faults.into())
    })
}
