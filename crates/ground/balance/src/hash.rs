//! The hash that places keys and addresses on the ring, bit for bit the one Kong uses.

use std::hash::Hasher;

use twox_hash::XxHash32;

/// xxHash32 with seed 0 of whatever a request is hashed on.
pub fn value_hash(value: &[u8]) -> u32 {
    seeded_hash(value, 0)
}

pub(crate) fn seeded_hash(value: &[u8], seed: u32) -> u32 {
    let mut hasher = XxHash32::with_seed(seed);
    hasher.write(value);
    // The 64-bit result carries a 32-bit hash in its low half.
    hasher.finish() as u32
}

/// Place of a hash on a ring of `points`, counted from 0.
///
/// The remainder is taken of the hash read as a *signed* number and is never negative: LuaJIT's bit operations
/// yield signed numbers and Lua's `%` rounds down. For a ring size that does not divide 2^32 an unsigned remainder
/// would give another ring for half of all hashes.
pub fn continuum_index(hash: u32, points: u32) -> u32 {
    let points = i64::from(points.max(1));
    // In 0..points, which came from a u32.
    i64::from(hash as i32).rem_euclid(points) as u32
}

/// Several values of one query argument as one hash input: sorted, then joined with commas.
pub fn joined_query_values(values: &mut [&str]) -> String {
    values.sort_unstable();
    values.join(",")
}

/// A well mixed 64-bit number from a seed (SplitMix64), for choices that need chance but no secrecy.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A seed as a fraction in 0..1.
pub(crate) fn fraction(seed: u64) -> f64 {
    (mix(seed) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_with_figures_taken_from_luaxxhash() {
        for (value, signed) in [
            ("", 46_947_589_i32),
            ("alpha", 1_409_586_120),
            ("beta", -1_671_563_895),
            ("10.0.0.1::8000 1", 1_540_342_486),
            ("10.0.0.1::8000 2", -1_150_874_097),
            ("127.0.0.1::15021 160", 728_161_006),
            ("a1b2c3d4-0000-4000-8000-000000000000", -1_623_671_233),
        ] {
            assert_eq!(value_hash(value.as_bytes()) as i32, signed, "{value:?}");
        }
    }

    #[test]
    fn the_ring_index_is_the_floored_remainder_of_the_signed_hash() {
        assert_eq!(continuum_index(1_540_342_486, 10_000), 2_486);
        assert_eq!(continuum_index(-1_150_874_097_i32 as u32, 10_000), 5_903);
        assert_eq!(continuum_index(7, 0), 0);
    }

    #[test]
    fn query_values_are_sorted_before_joining() {
        assert_eq!(joined_query_values(&mut ["b", "a", "c"]), "a,b,c");
    }
}
