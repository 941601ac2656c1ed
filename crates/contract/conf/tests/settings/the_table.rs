//! The table of settings against the reference, and the page that is written from it.

use super::*;

fn reference_defaults() -> Vec<(&'static str, &'static str, &'static str)> {
    include_str!("../defaults-3.15.tsv")
        .lines()
        .map(|line| {
            let mut cells = line.split('\t');
            (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap())
        })
        .collect()
}

#[test]
fn knows_all_401_settings_in_their_sections() {
    assert_eq!(reference_defaults().len(), 401);
    for (name, section, _) in reference_defaults() {
        let setting = table::find(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!((setting.name, setting.section), (name, section));
    }
}

#[test]
fn has_the_defaults_of_3_15_when_asked_for_them() {
    for (name, _, default) in reference_defaults() {
        let setting = table::find(name).unwrap();
        let ours = match setting.default {
            table::Default::Derived(from) => from.to_owned(),
            table::Default::Follows(other) => format!("<{other}>"),
            _ => setting.default_for(Compat::V3_15).unwrap_or_default().to_owned(),
        };
        assert_eq!(ours, default, "{name}");
    }
}

#[test]
fn differs_between_the_two_versions_in_four_settings_only() {
    let moved: Vec<_> = table::all()
        .filter(|s| s.default_for(Compat::V3_10) != s.default_for(Compat::V3_15))
        .map(|s| (s.name, s.default_for(Compat::V3_10).unwrap()))
        .collect();
    assert_eq!(
        moved,
        [
            ("proxy_server_ssl_verify", "off"),
            ("tls_certificate_verify", "off"),
            ("pg_ssl_verify", "off"),
            ("untrusted_lua", "sandbox"),
        ]
    );
}

#[test]
fn names_every_setting_once_with_a_meaning_and_a_reason_where_it_has_no_effect() {
    let mut names: Vec<_> = table::all().map(|s| s.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    for setting in table::all() {
        assert!(setting.meaning.ends_with('.'), "{}", setting.name);
        if let table::Effect::NoEffect(reason) = setting.effect {
            assert!(reason.len() > 10 && !reason.ends_with('.'), "{}", setting.name);
        }
    }
}

#[test]
fn has_defaults_that_fit_their_own_kind() {
    let everything: String = table::all()
        .filter_map(|s| Some(format!("{} = {}\n", s.name, s.default_for(Compat::V3_10)?.replace('#', "\\#"))))
        .collect();
    let input = Input { file: Some(("kong.conf".into(), everything)), ..Input::default() };
    let loaded = load(&input, &Machine { paths: vec!["/etc/hosts"] }).unwrap_or_else(|refused| panic!("{refused}"));
    assert!(loaded.notices.iter().all(|n| n.kind != NoticeKind::NoEffect && n.kind != NoticeKind::Unknown));
}

#[test]
fn hides_secrets_and_nothing_else() {
    for secret in
        ["pg_password", "pg_ro_password", "ssl_cert_key", "cluster_cert_key", "proxy_server", "vault_hcv_token"]
    {
        assert!(table::is_secret(secret), "{secret}");
    }
    for open in ["pg_host", "ssl_cert", "prefix", "admin_gui_auth_header"] {
        assert!(!table::is_secret(open), "{open}");
    }
}

#[test]
fn is_the_source_of_the_reference_page() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/settings.md");
    let rendered = reference::render();
    if std::env::var_os("GIBBON_WRITE_DOCS").is_some() {
        std::fs::write(path, &rendered).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == rendered, "docs/settings.md is old: run this test with GIBBON_WRITE_DOCS=1");
}
