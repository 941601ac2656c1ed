//! Making new inputs from old ones. Pure: the same seed and corpus give the same inputs on every machine.

/// A small fast generator (xorshift*); quality beyond "no visible pattern" is not needed here.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; every seed is as good as any other.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `limit`; 0 if the limit is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = limit as u64;
        usize::try_from(self.bits().checked_rem(limit).unwrap_or_default()).unwrap_or_default()
    }

    /// One of a slice.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// Inputs longer than this find nothing that shorter ones do not, and slow the search down.
const MAX_INPUT: usize = 16 * 1024;
/// Numbers around which length fields go wrong.
const EDGES: [&str; 10] = [
    "0",
    "1",
    "-1",
    "127",
    "128",
    "65535",
    "4294967295",
    "18446744073709551615",
    "18446744073709551616",
    "ffffffffffffffff",
];
/// Bytes that most grammars give a meaning.
const SPECIAL: &[u8] = b"\0\t\n\r \"#%&'()*+,-./0:;<=>?@[\\]^_{|}~\x7f\x80\xc3\xff";

/// A new input: a corpus entry, changed in a few places.
pub fn mutate(random: &mut Random, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = random.pick(corpus).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        change(random, &mut input, corpus, words);
    }
    input.truncate(MAX_INPUT);
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str]) {
    let at = random.below(input.len() + 1);
    match random.below(10) {
        0 => flip_bit(random, input),
        1 => replace_byte(input, at, random.bits().to_le_bytes()[0]),
        2 => replace_byte(input, at, random.pick(SPECIAL).copied().unwrap_or_default()),
        3 => insert(input, at, &[random.pick(SPECIAL).copied().unwrap_or_default()]),
        4 => insert(input, at, random.pick(&EDGES).map_or("", |edge| edge).as_bytes()),
        5 => insert(input, at, random.pick(words).map_or("", |word| word).as_bytes()),
        6 => remove(random, input, at),
        7 => repeat(random, input, at),
        8 => input.truncate(at),
        _ => splice(random, input, at, corpus),
    }
}

fn flip_bit(random: &mut Random, input: &mut [u8]) {
    let at = random.below(input.len());
    let bit = 1 << random.below(8);
    if let Some(byte) = input.get_mut(at) {
        *byte ^= bit;
    }
}

fn replace_byte(input: &mut [u8], at: usize, with: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte = with;
    }
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    input.splice(at..at, piece.iter().copied());
}

fn remove(random: &mut Random, input: &mut Vec<u8>, at: usize) {
    let count = random.below((input.len() - at).min(64) + 1);
    input.drain(at..at + count);
}

/// Doubles a stretch, sometimes many times: what grows without bound shows here.
fn repeat(random: &mut Random, input: &mut Vec<u8>, at: usize) {
    let count = random.below((input.len() - at).min(64) + 1);
    let stretch = input.get(at..at + count).unwrap_or_default().to_vec();
    let times = if random.below(8) == 0 { random.below(200) } else { 1 };
    insert(input, at, &stretch.repeat(times));
}

/// Goes on with the end of another corpus entry.
fn splice(random: &mut Random, input: &mut Vec<u8>, at: usize, corpus: &[Vec<u8>]) {
    let Some(other) = random.pick(corpus) else { return };
    let from = random.below(other.len() + 1);
    input.truncate(at);
    input.extend_from_slice(other.get(from..).unwrap_or_default());
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let corpus = [b"GET / HTTP/1.1".to_vec(), vec![]];
        let run = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| mutate(&mut random, &corpus, &["x"])).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn mutation_works_on_nothing_and_stays_bounded() {
        let mut random = Random::new(1);
        let mut corpus = vec![];
        for _ in 0..20_000 {
            let input = mutate(&mut random, &corpus, &["word"]);
            assert!(input.len() <= MAX_INPUT);
            corpus = vec![input];
        }
    }
}
