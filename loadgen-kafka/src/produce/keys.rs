//! Keys of records, and the partition that the Java client would choose for them.
//!
//! Keys are numbers in decimal, so that a person can read them and no two of a batch are the same
//! where there is room. Nothing here may be drawn anew during a run.

/// Key number `number`, as long as it has to be: zeros in front, or its last digits alone.
#[must_use]
pub(super) fn key(number: u64, bytes: u32) -> Vec<u8> {
    let width = bytes as usize;
    let digits = number.to_string();
    let last = &digits.as_bytes()[digits.len().saturating_sub(width)..];
    // By hand: a width above 65535 is more than `format!` takes.
    let mut key = vec![b'0'; width - last.len()];
    key.extend_from_slice(last);
    key
}

/// How many different keys there are of so many bytes.
fn different(bytes: u32) -> u64 {
    10_u64.checked_pow(bytes).unwrap_or(u64::MAX)
}

/// Draws for each key that is needed, at the most, and some more for few partitions.
const DRAWS_EACH: u64 = 4;
const DRAWS_MORE: u64 = 100_000;

/// For each of `partitions` (their numbers, ascending) up to `wanted` numbers of keys of `bytes` that
/// a topic of `count` partitions has there. Fewer, or none, where no more are found.
#[must_use]
pub(super) fn by_partition(
    partitions: &[i32],
    count: u32,
    bytes: u32,
    wanted: usize,
) -> Vec<Vec<u64>> {
    let mut numbers = vec![Vec::new(); partitions.len()];
    let needed = (partitions.len() * wanted) as u64;
    // Of all partitions, only some may take part.
    let share = u64::from(count).div_ceil(partitions.len().max(1) as u64);
    let draws = needed.saturating_mul(DRAWS_EACH).saturating_mul(share);
    let draws = draws.saturating_add(DRAWS_MORE).min(different(bytes));
    let mut open = partitions.len();
    for number in 0..draws {
        let partition = partition_of(&key(number, bytes), count);
        let Ok(at) = partitions.binary_search(&partition) else {
            continue;
        };
        if numbers[at].len() < wanted {
            numbers[at].push(number);
            open -= usize::from(numbers[at].len() == wanted);
        }
        if open == 0 {
            break;
        }
    }
    numbers
}

/// The partition of a key among `count`, as `BuiltInPartitioner.partitionForKey` of the Java client
/// says.
#[must_use]
pub fn partition_of(key: &[u8], count: u32) -> i32 {
    ((murmur2(key) & 0x7fff_ffff) % count.max(1)) as i32
}

/// `MurmurHash2` (Appleby), 32 bits, with the seed of `Utils.murmur2` of the Java client.
#[must_use]
pub fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    for word in words {
        let mut word = u32::from_le_bytes(*word).wrapping_mul(MIX);
        word = (word ^ (word >> 24)).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ word;
    }
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_java_client() {
        // `UtilsTest.testMurmur2`.
        for (key, hash) in [
            (&b"21"[..], -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (
                b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            (b"abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key) as i32, hash, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn keys_are_numbers_of_their_length() {
        assert_eq!(key(7, 4), b"0007");
        assert_eq!(key(123_456, 4), b"3456");
        assert!(key(7, 0).is_empty());
    }

    #[test]
    fn a_key_may_be_longer_than_a_width_of_format() {
        let long = key(42, 65_536);
        assert_eq!(long.len(), 65_536);
        assert!(long.ends_with(b"0042") && long.starts_with(b"00"));
    }

    #[test]
    fn every_partition_gets_keys_of_its_own() {
        let partitions: Vec<i32> = (0..50).collect();
        let numbers = by_partition(&partitions, 50, 8, 100);
        for (partition, numbers) in partitions.iter().zip(&numbers) {
            assert_eq!(numbers.len(), 100);
            assert!(numbers.is_sorted_by(|a, b| a < b));
            for number in numbers {
                assert_eq!(partition_of(&key(*number, 8), 50), *partition);
            }
        }
    }

    #[test]
    fn some_of_many_partitions_get_theirs_too() {
        let numbers = by_partition(&[3, 999], 1000, 8, 10);
        assert_eq!(numbers.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10]);
    }

    #[test]
    fn few_keys_reach_few_partitions() {
        // One key of no bytes, ten of one.
        let reached = |bytes| {
            let numbers = by_partition(&(0..50).collect::<Vec<_>>(), 50, bytes, 5);
            numbers.iter().filter(|n| !n.is_empty()).count()
        };
        assert_eq!(reached(0), 1);
        assert!((2..=10).contains(&reached(1)));
    }
}
