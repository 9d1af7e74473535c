//! The codecs of record batches: whole into the batch, streaming out of it.
//!
//! What comes from a broker is decompressed piece by piece: nothing here may allocate by a size that
//! is only claimed. Sources: Kafka documentation "Record Batch", `CompressionType.java`; the frames of
//! snappy-java are described in its `SnappyOutputStream`.

use std::fmt;
use std::io::{self, Read, Write as _};

use zstd::zstd_safe::DCtx;

use super::batch::Codec;
use super::prim::Reader;
use super::{WireError, Wrong};

/// In front of the frames of snappy-java: a name, its version and the lowest that can read it.
const XERIAL: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// A block of them.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// A byte of snappy makes 22 at the most (a copy of 64 bytes takes 3).
const SNAPPY_RATIO_MAX: u64 = 22;
/// The largest block of snappy, which has to be there whole; those of snappy-java have 32 KiB, a bare
/// one is a whole batch.
const SNAPPY_BLOCK_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// The largest window of Zstandard, that of its level 22 (128 MiB). It is reserved at once, and only
/// what is decompressed into it is ever touched.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// One piece of what is decompressed.
const PIECE_BYTES: usize = 64 * 1024;

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

/// Decompresses batches; used again and again, for what the codecs keep between them.
#[derive(Default)]
pub struct Unpacker {
    buffer: Vec<u8>,
    zstd: Option<DCtx<'static>>,
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

impl Unpacker {
    /// Decompresses `packed` and hands the pieces to `each`, `limit` bytes at the most.
    ///
    /// # Errors
    /// [`Wrong::Codec`] when it does not decompress, or is longer; and what `each` says.
    pub fn unpack(
        &mut self,
        codec: Codec,
        packed: &[u8],
        limit: u64,
        each: impl FnMut(&[u8]) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let buffer = &mut self.buffer;
        let mut out = Limited {
            codec,
            limit,
            left: limit,
            each,
        };
        match codec {
            Codec::None => out.give(packed),
            Codec::Snappy => unsnap(packed, buffer, &mut out),
            Codec::Gzip => pump(
                flate2::bufread::MultiGzDecoder::new(packed),
                buffer,
                &mut out,
            ),
            Codec::Lz4 => pump(lz4_flex::frame::FrameDecoder::new(packed), buffer, &mut out),
            Codec::Zstd => {
                // A context is 100 KB and more: one is made, and reset by every decoder over it.
                let context = self.zstd.get_or_insert_with(DCtx::create);
                let mut decoder = zstd::stream::read::Decoder::with_context(packed, context);
                decoder
                    .window_log_max(ZSTD_WINDOW_LOG_MAX)
                    .map_err(|error| out.wrong(error))?;
                pump(decoder, buffer, &mut out)
            }
        }
    }
}

/// Where decompressed bytes go, and how many may.
struct Limited<F> {
    codec: Codec,
    limit: u64,
    left: u64,
    each: F,
}

impl<F: FnMut(&[u8]) -> Result<(), WireError>> Limited<F> {
    fn give(&mut self, piece: &[u8]) -> Result<(), WireError> {
        self.left = self
            .left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| self.too_long())?;
        (self.each)(piece)
    }

    #[cold]
    fn too_long(&self) -> WireError {
        let limit = self.limit;
        Wrong::Codec.because(format!("a batch decompresses to more than {limit} bytes"))
    }

    #[cold]
    fn wrong(&self, error: impl fmt::Display) -> WireError {
        let name = self.codec.name();
        Wrong::Codec.because(format!("a batch does not decompress as {name}: {error}"))
    }
}

fn pump(
    mut from: impl Read,
    buffer: &mut Vec<u8>,
    out: &mut Limited<impl FnMut(&[u8]) -> Result<(), WireError>>,
) -> Result<(), WireError> {
    if buffer.len() < PIECE_BYTES {
        buffer.resize(PIECE_BYTES, 0);
    }
    let buffer = &mut buffer[..PIECE_BYTES];
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => out.give(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(out.wrong(error)),
        }
    }
}

/// The frames of snappy-java, or one bare block.
fn unsnap(
    packed: &[u8],
    buffer: &mut Vec<u8>,
    out: &mut Limited<impl FnMut(&[u8]) -> Result<(), WireError>>,
) -> Result<(), WireError> {
    let Some(frames) = packed.strip_prefix(&XERIAL[..8]) else {
        return unsnap_block(packed, buffer, out);
    };
    let cut = || Wrong::Codec.because("a snappy batch is cut short in the head of a block");
    let mut reader = Reader::new(frames);
    reader.take(XERIAL.len() - 8).ok_or_else(cut)?;
    while !reader.rest().is_empty() {
        let length = reader.u32().ok_or_else(cut)? as usize;
        let left = reader.rest().len();
        let block = reader.take(length).ok_or_else(|| {
            Wrong::Codec.because(format!(
                "a snappy block says it has {length} bytes, {left} are left"
            ))
        })?;
        unsnap_block(block, buffer, out)?;
    }
    Ok(())
}

/// A block says how long it becomes, and is believed as far as its bytes can make it so.
fn unsnap_block(
    block: &[u8],
    buffer: &mut Vec<u8>,
    out: &mut Limited<impl FnMut(&[u8]) -> Result<(), WireError>>,
) -> Result<(), WireError> {
    let length = snap::raw::decompress_len(block).map_err(|error| out.wrong(error))?;
    let possible = (block.len() as u64).saturating_mul(SNAPPY_RATIO_MAX);
    let possible = possible.min(SNAPPY_BLOCK_BYTES_MAX);
    if length as u64 > possible {
        return Err(Wrong::Codec.because(format!(
            "a snappy block of {} bytes says it becomes {length}, {possible} are possible",
            block.len()
        )));
    }
    if length as u64 > out.left {
        return Err(out.too_long());
    }
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    let count = snap::raw::Decoder::new()
        .decompress(block, buffer)
        .map_err(|error| out.wrong(error))?;
    out.give(&buffer[..count])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(codec: Codec, packed: &[u8], limit: u64) -> Result<Vec<u8>, WireError> {
        let mut all = Vec::new();
        Unpacker::default().unpack(codec, packed, limit, |piece| {
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

    #[test]
    fn a_claimed_size_is_believed_as_far_as_its_bytes_go() {
        // A block of 1000 bytes that says it becomes 2 GiB, bare and in a frame.
        let mut bare = vec![0x80, 0x80, 0x80, 0x80, 0x08];
        bare.resize(1000, 0);
        let mut framed = XERIAL.to_vec();
        framed.extend(1000_u32.to_be_bytes());
        framed.extend(&bare);
        for packed in [bare, framed] {
            let mut unpacker = Unpacker::default();
            let error = unpacker.unpack(Codec::Snappy, &packed, 1 << 40, |_| Ok(()));
            assert_eq!(error.unwrap_err().wrong, Wrong::Codec);
            assert_eq!(unpacker.buffer.capacity(), 0);
        }
        // And one that could, and may not.
        let packed = snap::raw::Encoder::new()
            .compress_vec(&[7; 1 << 20])
            .unwrap();
        let mut unpacker = Unpacker::default();
        let error = unpacker.unpack(Codec::Snappy, &packed, 1000, |_| Ok(()));
        assert!(error.unwrap_err().detail.contains("more than 1000 bytes"));
        assert_eq!(unpacker.buffer.capacity(), 0);
    }

    #[test]
    fn the_densest_snappy_there_is_is_read() {
        let zeros = vec![0; 1 << 20];
        let packed = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
        assert!((packed.len() as u64) < zeros.len() as u64 / (SNAPPY_RATIO_MAX - 2));
        assert_eq!(whole(Codec::Snappy, &packed, 1 << 20).unwrap(), zeros);
    }

    #[test]
    fn the_windows_of_every_level_are_read_and_larger_ones_are_not() {
        let packed = |window_log| {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(window_log).unwrap();
            encoder.write_all(b"records").unwrap();
            encoder.finish().unwrap()
        };
        let read = |window_log| whole(Codec::Zstd, &packed(window_log), 7);
        assert_eq!(read(ZSTD_WINDOW_LOG_MAX).unwrap(), b"records");
        assert_eq!(
            read(ZSTD_WINDOW_LOG_MAX + 1).unwrap_err().wrong,
            Wrong::Codec
        );
    }

    #[test]
    fn nothing_of_a_broken_batch_is_left_for_the_next_one() {
        let records: Vec<u8> = (0..200_000_u32).map(|i| (i / 7 % 251) as u8).collect();
        let mut unpacker = Unpacker::default();
        for codec in Codec::ALL {
            let packed = compress(codec, &records).unwrap();
            for cut in [packed.len() / 2, packed.len()] {
                let mut all = Vec::new();
                let result = unpacker.unpack(codec, &packed[..cut], 1 << 20, |piece| {
                    all.extend_from_slice(piece);
                    Ok(())
                });
                assert!(records.starts_with(&all), "{codec:?}");
                if cut == packed.len() {
                    assert_eq!((result, all.len()), (Ok(()), records.len()), "{codec:?}");
                }
            }
            // Nor of one that nobody wanted to its end.
            let enough = || Wrong::Batch.because("enough");
            let result = unpacker.unpack(codec, &packed, 1 << 20, |_| Err(enough()));
            assert_eq!(result, Err(enough()));
        }
    }
}
