//! Records of the metadata log: what can be read is written as it was, and replaying any of them leaves an image that its
//! own records lead to again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringlog_cluster::image::Image;
use ringlog_fuzz::choices::Choices;
use ringlog_net::messages::metadata_log::MetadataRecord;
use ringlog_net::wire::{Reader, Writer};
use ringlog_storage::types::{BrokerId, Offset};

const RECORDS_MAX: usize = 64;

fn decode(bytes: &[u8]) -> Option<(MetadataRecord, i16)> {
    MetadataRecord::decode(&mut Reader::new(bytes)).ok()
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let mut image = Image::new("cluster", BrokerId::new(1));
    let mut offset = Offset::ZERO;
    for _ in 0..RECORDS_MAX {
        if choices.is_empty() {
            break;
        }
        let bytes = usize::from(choices.u16());
        let Some((record, version)) = decode(choices.bytes(bytes)) else { continue };
        let mut writer = Writer::default();
        record.encode(&mut writer, version).expect("was read in this version");
        let (again, _) = decode(&writer.into_bytes()).expect("was written just now");
        assert_eq!(format!("{record:?}"), format!("{again:?}"));
        let before = image.clone();
        match image.replay(offset, &record) {
            Ok(()) => offset = offset.next(),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!(image, before, "a refused record changes nothing");
            }
        }
    }
    let mut derived = Image::new("cluster", BrokerId::new(1));
    for record in image.records() {
        derived.replay(Offset::ZERO, &record).expect("the image's own records");
    }
    assert_eq!(derived.records(), image.records());
});
