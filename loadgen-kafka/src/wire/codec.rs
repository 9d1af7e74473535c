//! The codecs of record batches: whole into the batch, streaming out of it.
//!
//! What comes from a broker is decompressed piece by piece: nothing here may allocate by a size that
//! is only claimed. Sources: Kafka documentation "Record Batch", `CompressionType.java`; the frames of
//! snappy-java are described in its `SnappyOutputStream`.

use std::io::{self, Read, Write as _};

use super::batch::Codec;
use super::prim::Reader;
use super::{WireError, Wrong};

/// In front of the frames of snappy-java: a name, its version and the lowest that can read it.
const XERIAL: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// A block of them.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// A byte of snappy makes 22 at the most (a copy of 64 bytes takes 3).
const SNAPPY_RATIO_MAX: usize = 64;
/// The largest window of Zstandard: it is allocated at once (32 MiB).
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

/// Compresses the records of a batch.
///
/// # Errors
/// What the codec says; memory is all that can be missing.
pub fn compress(codec: Codec, records: &[u8]) -> io::Result<Vec<u8>> {
    match codec {
        Codec::None => Ok(records.to_vec()),
        Codec::Gzip => {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(records)?;
            encoder.finish()
        }
        Codec::Snappy => {
            let mut out = XERIAL.to_vec();
            let mut encoder = snap::raw::Encoder::new();
            for block in records.chunks(XERIAL_BLOCK_BYTES) {
                let packed = encoder.compress_vec(block).map_err(io::Error::other)?;
                out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
                out.extend_from_slice(&packed);
            }
            Ok(out)
        }
        Codec::Lz4 => {
            // Java reads independent blocks only.
            let info = lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Independent)
                .block_size(lz4_flex::frame::BlockSize::Max64KB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(records)?;
            encoder.finish().map_err(io::Error::other)
        }
        Codec::Zstd => zstd::stream::encode_all(records, 0),
    }
}

/// Decompresses `packed` and hands the pieces to `each`, `limit` bytes at the most.
///
/// # Errors
/// [`Wrong::Codec`] when it does not decompress, or is longer; and what `each` says.
pub fn decompress(
    codec: Codec,
    packed: &[u8],
    limit: u64,
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let wrong = |error: io::Error| {
        Wrong::Codec.because(format!(
            "a batch does not decompress as {}: {error}",
            codec.name()
        ))
    };
    let mut left = limit;
    let mut counted = |piece: &[u8]| {
        left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
            Wrong::Codec.because(format!("a batch decompresses to more than {limit} bytes"))
        })?;
        each(piece)
    };
    match codec {
        Codec::None => counted(packed),
        Codec::Snappy => unsnap(packed, buffer, counted),
        Codec::Gzip => pump(
            flate2::read::MultiGzDecoder::new(packed),
            buffer,
            wrong,
            counted,
        ),
        Codec::Lz4 => {
            let decoder = lz4_flex::frame::FrameDecoder::new(packed);
            pump(decoder, buffer, wrong, counted)
        }
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(packed).map_err(wrong)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(wrong)?;
            pump(decoder, buffer, wrong, counted)
        }
    }
}

/// One piece of what is read.
const PIECE_BYTES: usize = 64 * 1024;

fn pump(
    mut from: impl Read,
    buffer: &mut Vec<u8>,
    wrong: impl Fn(io::Error) -> WireError,
    mut each: impl FnMut(&[u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    buffer.resize(PIECE_BYTES, 0);
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(wrong(error)),
        }
    }
}

/// The frames of snappy-java, or one bare block.
fn unsnap(
    packed: &[u8],
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let Some(frames) = packed.strip_prefix(&XERIAL[..8]) else {
        return each(unsnap_block(packed, buffer)?);
    };
    let cut = || Wrong::Codec.because("a snappy batch is cut short in the head of a block");
    let mut reader = Reader::new(frames);
    reader.take(XERIAL.len() - 8).ok_or_else(cut)?;
    while !reader.rest().is_empty() {
        let length = reader.u32().ok_or_else(cut)? as usize;
        let block = reader.take(length).ok_or_else(|| {
            let left = reader.rest().len();
            Wrong::Codec.because(format!(
                "a snappy block says it has {length} bytes, {left} are left"
            ))
        })?;
        each(unsnap_block(block, buffer)?)?;
    }
    Ok(())
}

fn unsnap_block<'b>(block: &[u8], buffer: &'b mut Vec<u8>) -> Result<&'b [u8], WireError> {
    let wrong =
        |error| Wrong::Codec.because(format!("a batch does not decompress as snappy: {error}"));
    let length = snap::raw::decompress_len(block).map_err(wrong)?;
    let possible = block.len().saturating_mul(SNAPPY_RATIO_MAX);
    if length > possible {
        return Err(Wrong::Codec.because(format!(
            "a snappy block of {} bytes says it becomes {length}, {possible} are possible",
            block.len()
        )));
    }
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    let count = snap::raw::Decoder::new()
        .decompress(block, buffer)
        .map_err(wrong)?;
    Ok(&buffer[..count])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(codec: Codec, packed: &[u8], limit: u64) -> Result<Vec<u8>, WireError> {
        let mut all = Vec::new();
        decompress(codec, packed, limit, &mut Vec::new(), |piece| {
            all.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn every_codec_gives_back_what_it_got_and_keeps_the_limit() {
        let records: Vec<u8> = (0..200_000_u32).map(|i| (i / 7 % 251) as u8).collect();
        for codec in Codec::ALL {
            for length in [0, 1, 100, records.len()] {
                let packed = compress(codec, &records[..length]).unwrap();
                let limit = length as u64;
                assert_eq!(
                    whole(codec, &packed, limit).unwrap(),
                    records[..length],
                    "{codec:?}"
                );
                if length > 0 {
                    let error = whole(codec, &packed, limit - 1).unwrap_err();
                    assert_eq!(error.wrong, Wrong::Codec);
                }
            }
        }
        let bare = snap::raw::Encoder::new().compress_vec(&records).unwrap();
        assert_eq!(whole(Codec::Snappy, &bare, 1 << 20).unwrap(), records);
    }

    #[test]
    fn nonsense_is_refused_without_its_sizes() {
        for codec in &Codec::ALL[1..] {
            let packed = compress(*codec, &[7; 1000]).unwrap();
            for cut in 1..packed.len().min(60) {
                // Cut, it is an error or a part of it.
                let _ = whole(*codec, &packed[..cut], 1000);
            }
            assert!(whole(*codec, &[0xff; 64], 1 << 30).is_err(), "{codec:?}");
        }
        // A bare block that claims 4 GiB in ten bytes.
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0];
        assert!(whole(Codec::Snappy, &claim, 1 << 40).is_err());
        let mut block = XERIAL.to_vec();
        block.extend([0xff; 6]);
        assert!(whole(Codec::Snappy, &block, 1 << 40).is_err());
    }
}
