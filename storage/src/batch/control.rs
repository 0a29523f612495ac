//! Control records: what the broker itself writes between the producers' records. Consumers skip them, and learn from
//! transaction markers which transactions ended, and how (KIP-98).

use super::build::{BatchBuilder, Producer, Record};
use crate::types::{Millis, ProducerEpoch, ProducerId, Sequence};

/// Version of the control records that are written.
const VERSION: i16 = 0;

/// What a control record says; the number stands in its key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ControlType {
    /// The producer's open transaction ended without effect.
    Abort,
    /// The producer's open transaction took effect.
    Commit,
    /// A leader of the controller quorum took over (KIP-595).
    LeaderChange,
    /// Begins a snapshot (KIP-630).
    SnapshotHeader,
    /// Ends a snapshot (KIP-630).
    SnapshotFooter,
    /// The quorum's feature level (KIP-853).
    KraftVersion,
    /// The quorum's voters (KIP-853).
    KraftVoters,
}

impl ControlType {
    const ALL: [Self; 7] = [
        Self::Abort,
        Self::Commit,
        Self::LeaderChange,
        Self::SnapshotHeader,
        Self::SnapshotFooter,
        Self::KraftVersion,
        Self::KraftVoters,
    ];

    /// The type in a control record's key, or `None` for a key that is cut short or a type that is not known. As Kafka
    /// does, newer versions of the key are read as far as they are understood.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let version = i16::from_be_bytes(*key.first_chunk()?);
        let number = i16::from_be_bytes(*key[2..].first_chunk()?);
        (version >= VERSION).then(|| Self::ALL.get(usize::try_from(number).ok()?).copied())?
    }

    /// The key of a control record of this type.
    pub fn key(self) -> [u8; 4] {
        let number = match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KraftVersion => 5,
            Self::KraftVoters => 6,
        };
        let [a, b] = VERSION.to_be_bytes();
        [a, b, 0, number]
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TransactionResult {
    /// Without effect.
    Abort,
    /// With effect.
    Commit,
}

/// What a transaction marker says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndTransactionMarker {
    /// Whose transaction.
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// How it ended.
    pub result: TransactionResult,
    /// Epoch of the coordinator that decided; a smaller one than the last seen is fenced.
    pub coordinator_epoch: i32,
}

impl EndTransactionMarker {
    /// The batch of one control record that ends the transaction in a partition.
    pub fn batch(self, timestamp: Millis) -> Vec<u8> {
        let kind = match self.result {
            TransactionResult::Abort => ControlType::Abort,
            TransactionResult::Commit => ControlType::Commit,
        };
        let mut value = VERSION.to_be_bytes().to_vec();
        value.extend(self.coordinator_epoch.to_be_bytes());
        // A marker takes no sequence: the producer's own numbers go on behind it.
        let producer = Producer { id: self.producer_id, epoch: self.producer_epoch, base_sequence: Sequence::NONE };
        let mut batch = BatchBuilder::new().producer(producer).transactional().control();
        batch.push(&Record { timestamp, key: Some(&kind.key()), value: Some(&value), headers: &[] });
        batch.build()
    }

    /// The coordinator's epoch in the value of a marker; `None` where it is cut short.
    pub fn coordinator_epoch_of(value: &[u8]) -> Option<i32> {
        let version = i16::from_be_bytes(*value.first_chunk()?);
        let epoch = i32::from_be_bytes(*value[2..].first_chunk()?);
        (version >= VERSION).then_some(epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchView;

    #[test]
    fn keys_round_trip() {
        for kind in ControlType::ALL {
            assert_eq!(ControlType::from_key(&kind.key()), Some(kind));
        }
        assert_eq!(ControlType::from_key(&[0, 7, 0, 1, 9]), Some(ControlType::Commit), "a newer version");
        for key in [&[][..], &[0], &[0, 0, 0], &[0, 0, 0, 7], &[0, 0, 0xff, 0xff], &[0xff, 0xff, 0, 1]] {
            assert_eq!(ControlType::from_key(key), None, "{key:?}");
        }
    }

    #[test]
    fn markers_are_transactional_control_batches() {
        let marker = EndTransactionMarker {
            producer_id: ProducerId::new(9),
            producer_epoch: ProducerEpoch::new(2),
            result: TransactionResult::Commit,
            coordinator_epoch: 5,
        };
        let bytes = marker.batch(Millis::new(77));
        let (batch, _) = BatchView::parse(&bytes).expect("just built");
        assert!(batch.check_crc() && batch.is_control() && batch.is_transactional());
        assert_eq!((batch.producer_id(), batch.base_sequence()), (ProducerId::new(9), Sequence::NONE));
        let record = batch.records().and_then(|mut records| records.next()).expect("one").expect("well-formed");
        assert_eq!(record.key.and_then(ControlType::from_key), Some(ControlType::Commit));
        assert_eq!(record.value.and_then(EndTransactionMarker::coordinator_epoch_of), Some(5));
        assert_eq!(EndTransactionMarker::coordinator_epoch_of(&[0, 0, 0, 0, 5]), None);
    }
}
