//! CRC-32C of bytes of which only a part changes: the rest is never read again.
//!
//! A CRC is a remainder of polynomials over GF(2), so it is linear. Behind `n` more bytes, a CRC is
//! multiplied by x^(8n); what a change of some bytes does to the CRC depends on the change and on
//! the number of bytes behind it alone. Both cost one multiplication of two 32-bit remainders,
//! however long the batch is. Numbers are bit-reflected as the CRC is: bit 31 is x^0.

/// The polynomial of Castagnoli (RFC 3720, appendix B.4), reflected, without x^32.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// 1.
const ONE: u32 = 1 << 31;
/// x^8: one byte more.
const BYTE: u32 = 1 << 23;

/// The product of two remainders.
#[inline]
const fn product(a: u32, mut b: u32) -> u32 {
    let mut sum = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        // All ones where the bit is set: no branch to guess.
        sum ^= b & (a >> bit & 1).wrapping_neg();
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    sum
}

/// What so many bytes behind others make of their CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift(u32);

impl Shift {
    /// None at all: the neutral element of [`Shift::and`].
    pub const NOTHING: Self = Self(0);

    /// By `bytes`. Takes a multiplication for each bit of the number: once, for a template.
    #[must_use]
    pub const fn by(mut bytes: u64) -> Self {
        let mut shift = ONE;
        let mut power = BYTE;
        while bytes > 0 {
            if bytes & 1 == 1 {
                shift = product(shift, power);
            }
            power = product(power, power);
            bytes >>= 1;
        }
        Self(shift)
    }

    /// Both: where the same change is made in several places, their shifts add up to one.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    /// The CRC of `front` followed by the bytes this was made for, whose CRC is `back`.
    #[must_use]
    #[inline]
    pub const fn join(self, front: u32, back: u32) -> u32 {
        product(self.0, front) ^ back
    }

    /// What bytes that were 0 and now are `change` do to a CRC: to be added with `^`. The shift is
    /// by the bytes behind them.
    #[must_use]
    #[inline]
    pub fn change(self, change: &[u8]) -> u32 {
        product(self.0, remainder(change))
    }
}

/// The remainder alone, without the inversions before and after that make it a CRC: 0 for zeros.
#[inline]
fn remainder(bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!0, bytes)
}

#[cfg(test)]
mod tests {
    use loadgen_core::workload::Random;

    use super::*;

    fn bytes(count: usize, seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed);
        (0..count).map(|_| random.next_u64() as u8).collect()
    }

    #[test]
    fn the_crc_under_it_is_the_one_of_the_standard() {
        // RFC 3720, appendix B.4: 32 zeros, 32 ones.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(remainder(&[0; 9]), 0);
    }

    #[test]
    fn joined_is_what_the_whole_has() {
        for (front, back) in [
            (0, 0),
            (40, 0),
            (0, 40),
            (40, 1),
            (1, 65_537),
            (40, 131_011),
        ] {
            let all = bytes(front + back, 3);
            let (head, body) = all.split_at(front);
            let shift = Shift::by(back as u64);
            let joined = shift.join(crc32c::crc32c(head), crc32c::crc32c(body));
            assert_eq!(joined, crc32c::crc32c(&all), "{front} and {back}");
        }
    }

    #[test]
    fn one_change_in_many_places_is_one_multiplication() {
        for (count, size) in [(1, 8), (1, 200), (3, 24), (1000, 131)] {
            let mut all = bytes(40 + count * size, 5);
            let places: Vec<usize> = (0..count).map(|i| 40 + i * size).collect();
            let mut shifts = Shift::NOTHING;
            for at in &places {
                all[*at..at + 8].fill(0);
                shifts = shifts.and(Shift::by((all.len() - at - 8) as u64));
            }
            let before = crc32c::crc32c(&all);
            for stamp in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
                for at in &places {
                    all[*at..at + 8].copy_from_slice(&stamp.to_be_bytes());
                }
                let patched = before ^ shifts.change(&stamp.to_be_bytes());
                assert_eq!(
                    patched,
                    crc32c::crc32c(&all),
                    "{count} × {size}, {stamp:#x}"
                );
            }
        }
    }

    #[test]
    fn shifts_of_any_length_follow_one_another() {
        let crc = 0xdead_beef;
        for (a, b) in [(1, 2), (4096, 61), (1 << 31, 12_345), (u64::MAX >> 1, 1)] {
            let twice = Shift::by(b).join(Shift::by(a).join(crc, 0), 0);
            assert_eq!(Shift::by(a + b).join(crc, 0), twice, "{a} and {b}");
        }
        assert_eq!(Shift::by(0).join(crc, 0), crc);
    }
}
