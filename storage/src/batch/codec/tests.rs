//! Codecs against themselves, other writers, bombs and damage.

use super::*;
use crate::batch::noise::Noise;

const LIMIT: usize = 8 << 20;

fn pack(codec: Codec, level: i32, plain: &[u8]) -> Vec<u8> {
    let mut out = b"in front".to_vec();
    Compressor::default().compress(Compression { codec, level }, plain, &mut out);
    out.split_off(8)
}

fn unpack(codec: Codec, payload: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    Decompressor::default().decompress(codec, payload, limit).map(<[u8]>::to_vec)
}

/// Contents of several kinds: empty, tiny, flat, text-like, noise; around the sizes at which blocks end.
fn samples() -> Vec<Vec<u8>> {
    let mut noise = Noise::new(7);
    let mut samples = vec![vec![], b"a".to_vec(), vec![0; 3 << 20]];
    for bytes in [100, 32 << 10, (32 << 10) + 1, 64 << 10, (64 << 10) + 1, (128 << 10) + 1, 300_000] {
        samples.push((0..bytes).map(|_| noise.byte()).collect());
        samples.push((0..bytes).map(|_| b"the quick brown fox "[usize::from(noise.byte() % 20)]).collect());
        samples.push(b"{\"level\":\"info\",\"message\":\"again\"}".iter().copied().cycle().take(bytes).collect());
    }
    samples
}

#[test]
fn what_is_packed_unpacks() {
    let (mut packer, mut unpacker) = (Compressor::default(), Decompressor::default());
    for codec in Codec::ALL {
        for plain in samples() {
            let mut packed = Vec::new();
            packer.compress(codec.into(), &plain, &mut packed);
            for limit in [plain.len(), usize::MAX] {
                assert_eq!(unpacker.decompress(codec, &packed, limit), Ok(&plain[..]), "{codec} {}", plain.len());
            }
        }
    }
}

#[test]
fn levels_are_heard() {
    let plain = include_bytes!("../view.rs");
    for codec in [Codec::Gzip, Codec::Zstd] {
        let (fast, good) = (pack(codec, 1, plain).len(), pack(codec, 9, plain).len());
        assert!(good < fast, "{codec} {good} {fast}");
    }
    for codec in Codec::ALL {
        for level in [i32::MIN, -1, 0, *codec.levels().start(), codec.default_level(), i32::MAX] {
            assert_eq!(
                unpack(codec, &pack(codec, level, b"any level"), 9),
                Ok(b"any level".to_vec()),
                "{codec} {level}"
            );
        }
    }
}

#[test]
fn the_limit_is_exact() {
    for codec in Codec::ALL {
        for plain in samples().iter().filter(|plain| !plain.is_empty()) {
            let packed = pack(codec, codec.default_level(), plain);
            for limit in [0, plain.len() / 2, plain.len() - 1] {
                assert_eq!(unpack(codec, &packed, limit), Err(CodecError::OverLimit(limit)), "{codec} {}", plain.len());
            }
        }
    }
}

#[test]
fn a_buffer_of_an_earlier_use_does_not_raise_the_limit() {
    for codec in Codec::ALL {
        let mut unpacker = Decompressor::default();
        let packed = pack(codec, codec.default_level(), &vec![1; 100_000]);
        assert!(unpacker.decompress(codec, &packed, LIMIT).is_ok());
        assert_eq!(unpacker.decompress(codec, &packed, 99_999), Err(CodecError::OverLimit(99_999)), "{codec}");
    }
}

#[test]
fn every_cut_and_every_addition_is_malformed() {
    let plain = b"some words and some words and other words".repeat(20);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let packed = pack(codec, codec.default_level(), &plain);
        let mut unpacker = Decompressor::default();
        for length in 0..packed.len() {
            // The framing of snappy has no end mark: cut right behind it, it is a whole stream of nothing.
            if codec == Codec::Snappy && length == 16 {
                continue;
            }
            let cut = &packed[..length];
            assert_eq!(unpacker.decompress(codec, cut, LIMIT), Err(CodecError::Malformed(codec)), "{codec} {length}");
        }
        let longer = [&packed[..], b"!"].concat();
        assert_eq!(unpacker.decompress(codec, &longer, LIMIT), Err(CodecError::Malformed(codec)), "{codec}");
    }
}

#[test]
fn streams_may_follow_one_another() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let two = [pack(codec, 1, b"one and "), pack(codec, 1, b"two")].concat();
        assert_eq!(unpack(codec, &two, 11), Ok(b"one and two".to_vec()), "{codec}");
    }
}

#[test]
fn bare_snappy_is_read() {
    let plain = b"bare bare bare bare".repeat(9000);
    let bare = snap::raw::Encoder::new().compress_vec(&plain).expect("small");
    assert_eq!(unpack(Codec::Snappy, &bare, LIMIT), Ok(plain));
}

#[test]
fn lz4_frames_of_other_writers_are_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    for plain in samples() {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
                for checked in [false, true] {
                    let length = u64::try_from(plain.len()).expect("small");
                    let info = FrameInfo::new().block_mode(mode).block_size(size).content_checksum(checked);
                    let info = info.block_checksums(checked).content_size(checked.then_some(length));
                    let mut writer = FrameEncoder::with_frame_info(info, Vec::new());
                    writer.write_all(&plain).expect("into memory");
                    let frame = writer.finish().expect("into memory");
                    assert_eq!(unpack(Codec::Lz4, &frame, plain.len()).as_ref(), Ok(&plain), "{mode:?} {size:?}");
                }
            }
        }
    }
}

#[test]
fn declared_sizes_allocate_nothing() {
    // Snappy: 2^32-1 bytes declared by a block of nine.
    let snappy = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], b"nine"].concat();
    // Zstd: a single segment of 2^40 bytes, and a window of 128 MiB; each holds one raw block of one byte.
    let zstd_content = [&0xFD2F_B528_u32.to_le_bytes()[..], &[0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 9, 0, 0, b'x']].concat();
    let zstd_window = [&0xFD2F_B528_u32.to_le_bytes()[..], &[0, 17 << 3, 9, 0, 0, b'x']].concat();
    // Lz4: blocks of up to 4 MiB, one of a single byte's literal.
    let mut lz4 = 0x184D_2204_u32.to_le_bytes().to_vec();
    lz4.extend([0x60, 0x70, 0x73, 2, 0, 0, 0, 0x10, b'x', 0, 0, 0, 0]);
    let mut unpacker = Decompressor::default();
    let malformed = |codec| Err(CodecError::Malformed(codec));
    assert_eq!(unpacker.decompress(Codec::Snappy, &snappy, usize::MAX >> 1), malformed(Codec::Snappy));
    assert_eq!(unpacker.decompress(Codec::Zstd, &zstd_content, usize::MAX >> 1), malformed(Codec::Zstd));
    assert_eq!(unpacker.decompress(Codec::Zstd, &zstd_window, LIMIT), Ok(&b"x"[..]));
    assert_eq!(unpacker.decompress(Codec::Lz4, &lz4, LIMIT), Ok(&b"x"[..]));
    assert!(unpacker.plain.capacity() < 4096, "{}", unpacker.plain.capacity());
}

#[test]
fn bombs_stop_at_the_limit() {
    let plain = vec![0; 64 << 20];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = pack(codec, codec.default_level(), &plain);
        let mut unpacker = Decompressor::default();
        assert_eq!(unpacker.decompress(codec, &bomb, 1 << 20), Err(CodecError::OverLimit(1 << 20)), "{codec}");
        assert!(unpacker.plain.capacity() <= (1 << 20) + 1, "{codec} {}", unpacker.plain.capacity());
    }
}

#[test]
fn damaged_streams_never_panic() {
    let plain: Vec<u8> = samples().into_iter().filter(|plain| plain.len() <= 70_000).flatten().collect();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let packed = pack(codec, codec.default_level(), &plain[..150_000]);
        let mut unpacker = Decompressor::default();
        for seed in 0..400 {
            let damaged = Noise::new(seed).damage(&packed);
            if let Ok(out) = unpacker.decompress(codec, &damaged, 1 << 20) {
                assert!(out.len() <= 1 << 20);
            }
            assert!(unpacker.plain.capacity() <= (1 << 20) + 1, "{codec} seed {seed}");
        }
    }
}
