//! The browser console.

use crate::settings::Builder;

/// The console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Addresses of the console; they decide which origins the Admin API allows.
    pub urls: Vec<String>,
    /// Path it is served under.
    pub path: String,
    /// Address of the Admin API as browsers reach it.
    pub api_url: Option<String>,
    /// Content security policy; `None` sends none, empty sends the built-in one.
    pub csp: Option<String>,
}

impl Console {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let name = "admin_gui_path";
        let path = b.values.text(name).unwrap_or("/").to_owned();
        if !path.starts_with('/') {
            b.fault(name, "admin_gui_path must start with a slash ('/')");
        }
        if path.len() > 2 && path.starts_with('/') && path.ends_with('/') {
            b.fault(name, "admin_gui_path must not end with a slash ('/')");
        }
        if path.contains(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '/')) {
            b.fault(
                name,
                "admin_gui_path can only contain letters, digits, hyphens ('-'), underscores ('_'), and slashes ('/')",
            );
        }
        if path.contains("//") {
            b.fault(name, "admin_gui_path must not contain continuous slashes ('/')");
        }
        let csp = b.values.flag("admin_gui_csp_header");
        let csp_value = b.values.text("admin_gui_csp_header_value").unwrap_or_default();
        Self {
            urls: b.values.list("admin_gui_url"),
            api_url: b.values.text("admin_gui_api_url").map(str::to_owned),
            csp: csp.then(|| csp_value.to_owned()),
            path,
        }
    }
}
