//! Whole numbers of any length. What an operation may cost is bounded: it runs on the worker.

use mlua::{AnyUserData, Lua, LuaString, Table, Value};
use x509_parser::num_bigint::{BigInt, Sign};

use super::super::{add, lossy, text};

/// Longest number, in bits.
const LONGEST: u64 = 65_536;

fn number(lua: &Lua, number: BigInt) -> mlua::Result<Value> {
    lua.create_any_userdata(number).map(Value::UserData)
}

fn operate(name: &str, a: &BigInt, b: &BigInt) -> Result<BigInt, &'static str> {
    let zero = BigInt::from(0);
    Ok(match name {
        "add" => a + b,
        "sub" => a - b,
        "mul" if a.bits() + b.bits() > LONGEST => return Err("the product is too large"),
        "mul" => a * b,
        "div" | "mod" if *b == zero => return Err("division by zero"),
        "div" => a / b,
        "mod" => a % b,
        "exp" => {
            let exponent = u32::try_from(b).map_err(|_| "the exponent is negative or too large")?;
            if a.bits().saturating_mul(u64::from(exponent)) > LONGEST {
                return Err("the power is too large");
            }
            a.pow(exponent)
        }
        _ => return Err("unknown operation"),
    })
}

pub fn install(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "bn_from_bytes", |lua, bytes: LuaString| {
        number(lua, BigInt::from_bytes_be(Sign::Plus, &bytes.as_bytes()))
    })?;
    add(lua, native, "bn_from_text", |lua, (digits, base): (LuaString, u32)| {
        let digits = lossy(&digits);
        // Quadratic in its length.
        if digits.len() > 20_000 || !(2..=36).contains(&base) {
            return Ok(Value::Nil);
        }
        match BigInt::parse_bytes(digits.as_bytes(), base) {
            Some(parsed) => number(lua, parsed),
            None => Ok(Value::Nil),
        }
    })?;
    add(lua, native, "bn_bytes", |lua, handle: AnyUserData| {
        let bytes = handle.borrow::<BigInt>()?.to_bytes_be().1;
        text(lua, Some(if bytes == [0] { Vec::new() } else { bytes }))
    })?;
    add(lua, native, "bn_text", |_, (handle, base): (AnyUserData, u32)| {
        Ok(handle.borrow::<BigInt>()?.to_str_radix(base.clamp(2, 36)))
    })?;
    add(lua, native, "bn_operate", |lua, (name, a, b): (LuaString, AnyUserData, AnyUserData)| {
        let outcome = operate(&lossy(&name), &*a.borrow::<BigInt>()?, &*b.borrow::<BigInt>()?);
        match outcome {
            Ok(result) => Ok((number(lua, result)?, None)),
            Err(error) => Ok((Value::Nil, Some(error))),
        }
    })?;
    add(lua, native, "bn_mod_exp", |lua, (a, exponent, modulus): (AnyUserData, AnyUserData, AnyUserData)| {
        let (a, exponent, modulus) = (a.borrow::<BigInt>()?, exponent.borrow::<BigInt>()?, modulus.borrow::<BigInt>()?);
        let sizes = [a.bits(), exponent.bits(), modulus.bits()];
        let wrong = modulus.sign() != Sign::Plus || exponent.sign() == Sign::Minus;
        if wrong || sizes.iter().any(|bits| *bits > 8192) {
            return Ok(Value::Nil);
        }
        number(lua, a.modpow(&exponent, &modulus))
    })?;
    add(lua, native, "bn_compare", |_, (a, b): (AnyUserData, AnyUserData)| {
        Ok(a.borrow::<BigInt>()?.cmp(&*b.borrow::<BigInt>()?) as i8)
    })?;
    add(lua, native, "bn_bits", |_, handle: AnyUserData| Ok(handle.borrow::<BigInt>()?.bits()))
}
