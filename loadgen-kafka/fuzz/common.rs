//! What both fuzz targets do with bytes, whatever they are replies to.
//!
//! Nothing here may know a request or a reply.

/// Some places, in ascending order, by a seed.
pub(crate) fn cuts(mut seed: u64, length: usize) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..seed % 8)
        .map(|_| {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (seed >> 33) as usize % (length + 1)
        })
        .collect();
    cuts.sort_unstable();
    cuts
}

/// `replies` with `rest` behind them, and somewhere one byte is another.
pub(crate) fn damaged(mut replies: Vec<u8>, rest: &[u8]) -> Vec<u8> {
    replies.extend(rest);
    if let [at, value, ..] = *rest {
        let at = usize::from(at) * replies.len() / 256;
        replies[at] ^= value;
    }
    replies
}
