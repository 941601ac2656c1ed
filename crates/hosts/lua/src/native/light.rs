//! Natives that most plugins call at each request, as bare C functions: they read their arguments where Lua has them and
//! make nothing in between. Lua code of ours has checked the arguments' types; whatever else comes is answered with nil.
//!
//! An error of Lua's (its memory is at its limit) leaves such a function without running what is left of it, so nothing
//! that needs to be dropped is alive, and the exchange is not lent, when a value is pushed.
#![allow(unsafe_code)]

use std::os::raw::{c_char, c_int};

use gibbon_message::Headers;
use gibbon_pdk::Exchange;
use mlua::{Lua, Table, ffi, lua_State};

use super::upstream::one_line;
use crate::current::with;

type Light = unsafe extern "C-unwind" fn(*mut lua_State) -> c_int;

/// Longest header name that is looked up with dashes for underscores; no field has a longer one.
const LONGEST_NAME: usize = 256;

/// The argument at this place as bytes; they live as long as the argument is on the stack.
///
/// SAFETY: `state` is the caller's, and the bytes are not used after it returns.
unsafe fn bytes<'a>(state: *mut lua_State, at: c_int) -> Option<&'a [u8]> {
    // SAFETY: only text is read, so nothing is converted in place.
    unsafe {
        if ffi::lua_type(state, at) != ffi::LUA_TSTRING {
            return None;
        }
        let mut length = 0;
        let start = ffi::lua_tolstring(state, at, &raw mut length);
        (!start.is_null()).then(|| std::slice::from_raw_parts(start.cast::<u8>(), length))
    }
}

/// Pushes text, or nil.
///
/// SAFETY: there is room for one value, and the bytes live.
unsafe fn push(state: *mut lua_State, text: Option<(*const u8, usize)>) -> c_int {
    // SAFETY: the caller says so.
    unsafe {
        match text {
            Some((start, length)) => {
                ffi::lua_pushlstring(state, start.cast::<c_char>(), length);
            }
            None => ffi::lua_pushnil(state),
        }
    }
    1
}

/// Where bytes of the exchange lie, to be pushed once the look at it is over; nothing changes it in between.
fn place(bytes: &[u8]) -> (*const u8, usize) {
    (bytes.as_ptr(), bytes.len())
}

/// What the exchange says, as text.
fn looked(look: impl FnOnce(&mut Exchange) -> Option<(*const u8, usize)>) -> Option<(*const u8, usize)> {
    with(look).ok().flatten()
}

/// The first value of a field whose name may be written with underscores.
fn field(headers: &Headers, name: &[u8]) -> Option<(*const u8, usize)> {
    if !name.contains(&b'_') {
        return headers.get(std::str::from_utf8(name).ok()?).map(place);
    }
    let mut dashed = [0; LONGEST_NAME];
    let dashed = dashed.get_mut(..name.len())?;
    for (to, from) in dashed.iter_mut().zip(name) {
        *to = if *from == b'_' { b'-' } else { *from };
    }
    headers.get(std::str::from_utf8(dashed).ok()?).map(place)
}

unsafe extern "C-unwind" fn request_header(state: *mut lua_State) -> c_int {
    // SAFETY: the bytes are used in this call only.
    unsafe {
        let name = bytes(state, 1);
        let value = name.and_then(|name| looked(|x| field(&x.request.headers, name)));
        push(state, value)
    }
}

fn is_host(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"host")
}

unsafe extern "C-unwind" fn request_set_header(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        if let (Some(name), Some(value)) = (bytes(state, 1), bytes(state, 2)) {
            let _ = with(|x| match is_host(name) {
                true => x.destination.host_header = Some(one_line(value)),
                false => x.request.headers.set(name, value),
            });
        }
    }
    0
}

unsafe extern "C-unwind" fn request_add_header(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        if let (Some(name), Some(value)) = (bytes(state, 1), bytes(state, 2)) {
            let _ = with(|x| match is_host(name) {
                true => x.destination.host_header = Some(one_line(value)),
                false => x.request.headers.append(name, value),
            });
        }
    }
    0
}

unsafe extern "C-unwind" fn request_clear_header(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        if let Some(name) = bytes(state, 1) {
            let _ = with(|x| match is_host(name) {
                true => x.destination.host_header = None,
                false => {
                    x.request.headers.remove(name);
                }
            });
        }
    }
    0
}

/// The headers that a plugin changes now: those of the answer once there is one, else what is added to any.
pub fn response_headers(x: &mut Exchange) -> &mut Headers {
    if x.response.status == 0 { &mut x.added_headers } else { &mut x.response.headers }
}

unsafe extern "C-unwind" fn response_add_header(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        if let (Some(name), Some(value)) = (bytes(state, 1), bytes(state, 2))
            && gibbon_message::is_token(name)
        {
            let _ = with(|x| response_headers(x).append(name, value));
        }
    }
    0
}

unsafe extern "C-unwind" fn response_clear_header(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe {
        if let Some(name) = bytes(state, 1) {
            let _ = with(|x| response_headers(x).remove(name));
        }
    }
    0
}

unsafe extern "C-unwind" fn status(state: *mut lua_State) -> c_int {
    // SAFETY: there is room for one value.
    unsafe { ffi::lua_pushinteger(state, with(|x| x.response.status).unwrap_or(0).into()) };
    1
}

unsafe extern "C-unwind" fn method(state: *mut lua_State) -> c_int {
    // SAFETY: the exchange is not changed before the push.
    unsafe { push(state, looked(|x| Some(place(x.request.method.as_str().as_bytes())))) }
}

unsafe extern "C-unwind" fn raw_path(state: *mut lua_State) -> c_int {
    // SAFETY: as above.
    unsafe { push(state, looked(|x| Some(place(x.request.path())))) }
}

const FUNCTIONS: &[(&str, Light)] = &[
    ("request_header", request_header),
    ("request_set_header", request_set_header),
    ("request_add_header", request_add_header),
    ("request_clear_header", request_clear_header),
    ("response_add_header", response_add_header),
    ("response_clear_header", response_clear_header),
    ("status", status),
    ("method", method),
    ("raw_path", raw_path),
];

pub fn install(lua: &Lua, native: &Table) -> mlua::Result<()> {
    for (name, function) in FUNCTIONS {
        // SAFETY: the functions keep to what Lua asks of C functions.
        native.raw_set(*name, unsafe { lua.create_c_function(*function) }?)?;
    }
    Ok(())
}
