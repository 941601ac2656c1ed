//! The published schemas are Kong's. What is beyond them stands in `docs/plugin-additions.md`.

#[test]
fn configurations_are_those_of_kong() {
    gibbon_rig::published::compare(gibbon_ai::PARTS, include_str!("published.json"));
}
