//! Settings that ask for what is not built yet.

use super::*;

#[test]
fn whoever_asks_for_what_is_missing_is_warned() {
    let told = notices("pluginserver_names = one", NoticeKind::Pending);
    assert_eq!(told, ["pluginserver_names has no effect yet: external plugin servers are still to come [kong.conf:1]"]);
}

#[test]
fn whoever_switches_it_off_or_leaves_it_alone_hears_nothing() {
    assert_eq!(
        notices("admin_gui_listen = off\nwasm = off\ntracing_instrumentations = off", NoticeKind::Pending),
        [""; 0]
    );
    assert_eq!(notices("", NoticeKind::Pending), [""; 0]);
}

#[test]
fn each_says_what_holds_instead() {
    for setting in table::all() {
        if let table::Effect::Pending(instead) = setting.effect {
            assert!(instead.len() > 10 && !instead.ends_with('.'), "{}", setting.name);
        }
    }
}
