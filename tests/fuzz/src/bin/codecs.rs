//! Compressed payloads of any bytes: output never exceeds the limit, and what comes out survives a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringlog_storage::batch::{Codec, Compressor, Decompressor};
use std::cell::RefCell;

thread_local! {
    static STATE: RefCell<(Decompressor, Decompressor, Compressor)> = RefCell::default();
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, payload)) = data.split_first() else { return };
    let codec = Codec::ALL[usize::from(choice) % Codec::ALL.len()];
    let limit = if choice & 0x80 == 0 { 1 << 20 } else { 100 };
    STATE.with_borrow_mut(|(first, second, compressor)| {
        let Ok(plain) = first.decompress(codec, payload, limit) else { return };
        assert!(plain.len() <= limit);
        let mut packed = Vec::new();
        compressor.compress(codec.into(), plain, &mut packed);
        assert_eq!(second.decompress(codec, &packed, plain.len()), Ok(plain));
    });
});
