//! Deterministic randomness: everything a simulator decides is a hash of the seed and of what is decided about,
//! so that the same seed gives the same world in any order of asking.

/// Mixes the parts into one well-spread number (FNV-1a over the bytes, finished by splitmix64).
pub fn hash(seed: u64, parts: &[&str]) -> u64 {
    let mut state = seed ^ 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain(std::iter::once(0xff)) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    spread(state)
}

/// Mixes numbers: the cheap form used where millions of decisions are taken.
pub fn hash_numbers(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(spread(seed), |state, part| spread(state ^ spread(*part)))
}

/// The number as a share of one, in `[0, 1)`.
pub fn share(number: u64) -> f64 {
    (number >> 11) as f64 / (1u64 << 53) as f64
}

/// A number below `limit` (0 when the limit is 0).
pub fn below(number: u64, limit: u64) -> u64 {
    ((u128::from(number) * u128::from(limit)) >> 64) as u64
}

/// A UUID (version 4 in form) made of a hash.
pub fn uuid(seed: u64, parts: &[u64]) -> String {
    let high = hash_numbers(seed, parts);
    let low = spread(high ^ 0x9e37_79b9_7f4a_7c15);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 50),
        low & 0xffff_ffff_ffff
    )
}

fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(hash(1, &["ab", "c"]), hash(1, &["a", "bc"]));
        assert_ne!(hash(1, &["a"]), hash(2, &["a"]));
    }

    #[test]
    fn a_uuid_has_the_form_of_version_4() {
        let id = uuid(7, &[1, 2]);
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]));
    }

    #[test]
    fn shares_and_limits_stay_in_their_range() {
        for i in 0..1000 {
            let n = hash_numbers(3, &[i]);
            assert!((0.0..1.0).contains(&share(n)));
            assert!(below(n, 7) < 7);
        }
    }
}
