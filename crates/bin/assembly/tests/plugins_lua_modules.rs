//! C modules found on `lua_package_cpath` use the interpreter of this program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "lua/gateway.rs"]
#[allow(dead_code)]
mod gateway;

use std::path::Path;
use std::process::Command;

use gateway::trusted;
use serde_json::json;

/// Of the interpreter's interface what the module needs, as its header declares it.
const SOURCE: &str = r#"
#include <stddef.h>
typedef struct lua_State lua_State;
typedef int (*lua_CFunction)(lua_State *);
typedef struct luaL_Reg { const char *name; lua_CFunction func; } luaL_Reg;
extern void luaL_register(lua_State *, const char *, const luaL_Reg *);
extern const char *luaL_checklstring(lua_State *, int, size_t *);
extern void lua_pushlstring(lua_State *, const char *, size_t);
extern void *lua_newuserdata(lua_State *, size_t);
extern void lua_settop(lua_State *, int);
extern int luaL_error(lua_State *, const char *, ...);

static int reverse(lua_State *L) {
  size_t length, i;
  const char *text = luaL_checklstring(L, 1, &length);
  char *out = lua_newuserdata(L, length + 1);
  for (i = 0; i < length; i++) out[i] = text[length - 1 - i];
  lua_pushlstring(L, out, length);
  return 1;
}
static int fail(lua_State *L) { return luaL_error(L, "as asked for"); }
static const luaL_Reg functions[] = {{"reverse", reverse}, {"fail", fail}, {NULL, NULL}};
int luaopen_backwards(lua_State *L) {
  lua_settop(L, 0);
  luaL_register(L, "backwards", functions);
  return 1;
}
"#;

#[test]
fn a_c_module_is_loaded_and_called() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("backwards.c");
    std::fs::write(&source, SOURCE).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let library = folder.path().join("backwards.so");
    let made = Command::new(compiler).args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status().unwrap();
    assert!(made.success());
    let gateway = trusted(
        r#"local backwards = require "backwards"
        local ok, err = pcall(backwards.fail)
        return kong.response.exit(200, { text = backwards.reverse("abc"), ok = ok, err = err })"#,
        &[("lua_package_cpath", &format!("{}/?.so", folder.path().display()))],
    );
    let answer = gateway.get("/");
    assert_eq!(answer.json().unwrap(), json!({"text": "cba", "ok": false, "err": "as asked for"}), "{}", answer.text());
}

/// Where Debian puts modules in C for Lua 5.1.
fn installed() -> Option<String> {
    let machine = std::env::consts::ARCH;
    let folder = format!("/usr/lib/{machine}-linux-gnu/lua/5.1");
    Path::new(&folder).join("lpeg.so").exists().then(|| format!("{folder}/?.so"))
}

#[test]
fn lpeg_as_debian_builds_it_parses() {
    let Some(path) = installed() else {
        eprintln!("lua-lpeg is not installed; there is nothing to load");
        return;
    };
    let gateway = trusted(
        r#"local lpeg = require "lpeg"
        local number = lpeg.R("09")^1 / tonumber
        local list = lpeg.Ct(number * (lpeg.P(",") * number)^0)
        return kong.response.exit(200, { list = list:match("1,22,333"), none = list:match("x") == nil })"#,
        &[("lua_package_cpath", &path)],
    );
    let answer = gateway.get("/");
    assert_eq!(answer.json().unwrap(), json!({"list": [1, 22, 333], "none": true}), "{}", answer.text());
}
