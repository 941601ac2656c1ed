//! Makes the program show Lua's C API, so that C modules found on `lua_package_cpath` use the interpreter in it. Nothing else
//! of it is shown.

fn main() {
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hosts/lua/exported.list");
    println!("cargo:rerun-if-changed={list}");
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux" | "freebsd") => println!("cargo:rustc-link-arg-bins=-Wl,--dynamic-list={list}"),
        Ok("macos") => println!("cargo:rustc-link-arg-bins=-Wl,-export_dynamic"),
        _ => {}
    }
}
