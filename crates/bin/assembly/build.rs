//! Tests load C modules of Lua as the program does: they show them the same functions (see the program's own build script).

fn main() {
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hosts/lua/exported.list");
    println!("cargo:rerun-if-changed={list}");
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux" | "freebsd") => println!("cargo:rustc-link-arg-tests=-Wl,--dynamic-list={list}"),
        Ok("macos") => println!("cargo:rustc-link-arg-tests=-Wl,-export_dynamic"),
        _ => {}
    }
}
