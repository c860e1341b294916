//! Randomness of a scenario: one parent generator and the children it hands out.
//!
//! With a seed (`--random-seed`) every child's sequence is repeatable, and so are masks and handshake keys on the wire; the
//! order in which children are asked for matters. Without one everything derives from one secure seed of the system: a
//! child costs no system call, and neither does a frame. RFC 6455 10.3 wants masking keys that nobody can predict.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use std::{fmt, io};

/// The parent generator of a process or scenario: ChaCha12.
pub struct Randomness {
    parent: ChaCha12Rng,
    /// Children shall repeat the documented sequences instead of being secure.
    seeded: bool,
}

impl Randomness {
    /// Repeatable with a seed, else seeded by the system. Fails only when the system has no random numbers.
    pub fn new(seed: Option<u64>) -> io::Result<Self> {
        Ok(match seed {
            Some(seed) => Self { parent: ChaCha12Rng::seed_from_u64(seed), seeded: true },
            None => Self { parent: from_system()?, seeded: false },
        })
    }

    /// Masking keys of one connection, from the parent's next 32 bytes.
    //= 6455-5.3-3
    //= 6455-5.3-4
    pub fn mask_keys(&mut self) -> MaskKeys {
        MaskKeys(if self.seeded {
            KeySource::Repeatable(Box::new(Pcg64::from_rng(&mut self.parent)))
        } else {
            KeySource::Secure(Box::new(ChaCha12Rng::from_rng(&mut self.parent)))
        })
    }

    /// Endless bytes, from the parent's next 32 bytes.
    pub fn bytes_source(&mut self) -> BytesSource {
        BytesSource(ChaCha12Rng::from_rng(&mut self.parent))
    }

    /// A number from `from` to `to`, both included, from a child made of the parent's next 32 bytes. `from` if that is not
    /// the smaller one.
    pub fn number(&mut self, from: i64, to: i64) -> i64 {
        let mut child = ChaCha12Rng::from_rng(&mut self.parent);
        // How many numbers there are beside `from`; of all 64-bit numbers that is the largest.
        let more = to.max(from).wrapping_sub(from) as u64;
        let Some(count) = more.checked_add(1) else { return child.next_u64() as i64 };
        // Numbers beyond the last whole multiple would make the first ones likelier.
        let usable = u64::MAX - (u64::MAX % count + 1) % count;
        loop {
            let n = child.next_u64();
            if n <= usable {
                return from.wrapping_add((n % count) as i64);
            }
        }
    }

    /// The 16 bytes of a Sec-WebSocket-Key, from the parent's next 32 bytes.
    pub fn websocket_key(&mut self) -> [u8; 16] {
        let mut child = ChaCha12Rng::from_rng(&mut self.parent);
        low_bytes(&mut child)
    }
}

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The state stays out of logs: it predicts every masking key.
        f.debug_struct("Randomness").field("seeded", &self.seeded).finish_non_exhaustive()
    }
}

fn from_system() -> io::Result<ChaCha12Rng> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|e| io::Error::other(format!("the system gives no random numbers: {e}; cannot go on without them")))?;
    Ok(ChaCha12Rng::from_seed(seed))
}

/// One draw of 32 bits for each byte, of which the lowest eight are used: part of the documented sequences.
fn low_bytes<const N: usize>(rng: &mut impl Rng) -> [u8; N] {
    std::array::from_fn(|_| rng.next_u32() as u8)
}

/// Masking keys of one connection, from [`Randomness::mask_keys`].
///
/// The default takes a secure seed from the system at the first key: sockets that never mask (servers) pay nothing.
#[derive(Default)]
pub struct MaskKeys(KeySource);

/// Boxed, as servers carry none of it.
#[derive(Default)]
enum KeySource {
    #[default]
    System,
    Repeatable(Box<Pcg64>),
    Secure(Box<ChaCha12Rng>),
}

impl MaskKeys {
    /// The next key. Fails only at the first call, when the keys have to come from the system and it has none.
    #[inline]
    pub fn next_key(&mut self) -> io::Result<[u8; 4]> {
        match &mut self.0 {
            KeySource::Repeatable(rng) => Ok(low_bytes(&mut **rng)),
            KeySource::Secure(rng) => Ok(rng.next_u32().to_le_bytes()),
            KeySource::System => {
                let mut rng = Box::new(from_system()?);
                let key = rng.next_u32().to_le_bytes();
                self.0 = KeySource::Secure(rng);
                Ok(key)
            }
        }
    }
}

impl fmt::Debug for MaskKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKeys")
    }
}

/// Endless random bytes (`random:`), from [`Randomness::bytes_source`].
pub struct BytesSource(ChaCha12Rng);

impl BytesSource {
    /// Overwrites all of `to` with random bytes; never fails.
    pub fn fill(&mut self, to: &mut [u8]) {
        self.0.fill_bytes(to);
    }
}

impl fmt::Debug for BytesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BytesSource")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(seed: u64) -> [[u8; 4]; 2] {
        let mut keys = Randomness::new(Some(seed)).unwrap().mask_keys();
        [keys.next_key().unwrap(), keys.next_key().unwrap()]
    }

    #[test]
    fn seeded_masks_follow_the_documented_sequence() {
        assert_eq!(masks(2), [[0x1d, 0xfb, 0x9f, 0x97], [0xc5, 0xca, 0xbf, 0x62]]);
        assert_eq!(masks(3), [[0x85, 0x87, 0x54, 0xbd], [0x6c, 0xe4, 0x13, 0x63]]);
    }

    #[test]
    fn seeded_handshake_key_follows_the_documented_sequence() {
        // J9988AI2rIrAyJ7HDshMRw==
        let expected = [0x27, 0xdf, 0x7c, 0xf0, 0x02, 0x36, 0xac, 0x8a, 0xc0, 0xc8, 0x9e, 0xc7, 0x0e, 0xc8, 0x4c, 0x47];
        assert_eq!(Randomness::new(Some(3)).unwrap().websocket_key(), expected);
    }

    #[test]
    fn numbers_reach_both_bounds_and_nothing_beyond() {
        let mut random = Randomness::new(Some(1)).unwrap();
        let drawn: std::collections::BTreeSet<_> = (0..300).map(|_| random.number(-1, 2)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [-1, 0, 1, 2]);
        assert_eq!((random.number(5, 5), random.number(5, 4)), (5, 5));
        let wide: Vec<_> = (0..64).map(|_| random.number(i64::MIN, i64::MAX)).collect();
        assert!(wide.iter().any(|n| *n < 0) && wide.iter().any(|n| *n > i64::MAX / 4));
        let half: Vec<_> = (0..64).map(|_| random.number(0, i64::MAX)).collect();
        assert!(half.iter().all(|n| *n >= 0) && half.iter().any(|n| *n > i64::MAX / 2));
        let again = |seed| Randomness::new(seed).unwrap().number(0, i64::MAX);
        assert!(again(Some(2)) == again(Some(2)) && again(None) != again(None));
    }

    #[test]
    fn bytes_repeat_with_a_seed_and_do_not_without() {
        let draw = |seed| {
            let mut bytes = [0; 32];
            Randomness::new(seed).unwrap().bytes_source().fill(&mut bytes);
            bytes
        };
        assert_eq!(draw(Some(1)), draw(Some(1)));
        assert_ne!(draw(Some(1)), draw(Some(2)));
        assert_ne!(draw(None), draw(None));
    }

    #[test]
    fn children_differ_and_keys_of_the_system_do_not_repeat() {
        let mut randomness = Randomness::new(None).unwrap();
        let (mut a, mut b, mut c) = (randomness.mask_keys(), randomness.mask_keys(), MaskKeys::default());
        let mut all: Vec<_> =
            (0..8).flat_map(|_| [&mut a, &mut b, &mut c].map(|keys| keys.next_key().unwrap())).collect();
        all.sort_unstable();
        all.dedup();
        // 24 draws of 32 bits: an accidental pair comes once in fifteen million runs.
        assert_eq!(all.len(), 24);
    }

    #[test]
    fn keys_are_small_and_ask_the_system_once() {
        assert_eq!(size_of::<Option<MaskKeys>>(), 2 * size_of::<usize>());
        let mut keys = MaskKeys::default();
        assert!(matches!(keys.0, KeySource::System));
        keys.next_key().unwrap();
        // One seed for the whole connection: no system call per frame.
        assert!(matches!(keys.0, KeySource::Secure(_)));
    }
}
