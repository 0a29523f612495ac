//! Producer ids on a shard: handed out from blocks that come from the metadata controller.

use ringlog_storage::types::ProducerId;

use crate::metadata::{PRODUCER_ID_BLOCK_LEN, ProducerIdBlock};

/// When this few ids are left the next block is asked for, so that a client seldom waits for it.
const LOW_WATER: i64 = PRODUCER_ID_BLOCK_LEN / 10;

/// One shard's supply of producer ids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProducerIds {
    current: Option<ProducerIdBlock>,
    /// The block behind the current one, if it is already here.
    next: Option<ProducerIdBlock>,
    is_asking: bool,
}

impl ProducerIds {
    /// The next id, `None` if a block has to come first.
    pub fn take(&mut self) -> Option<ProducerId> {
        if self.current.is_none_or(|block| block.len == 0) {
            self.current = self.next.take();
        }
        let block = self.current.as_mut().filter(|block| block.len > 0)?;
        let id = block.first;
        *block = ProducerIdBlock { first: ProducerId::new(id.get() + 1), len: block.len - 1 };
        Some(id)
    }

    /// Whether to ask for a block now. Answers yes once until the block, or the news that there is none, has come.
    pub fn should_ask(&mut self) -> bool {
        let left = self.current.map_or(0, |block| block.len);
        let asks = !self.is_asking && self.next.is_none() && left <= LOW_WATER;
        self.is_asking |= asks;
        asks
    }

    /// Takes a block in. Panics if none was asked for.
    pub fn put(&mut self, block: ProducerIdBlock) {
        assert!(self.is_asking && self.next.is_none(), "a block comes only when it was asked for");
        self.is_asking = false;
        self.next = Some(block);
    }

    /// The block that was asked for will not come; it can be asked for again.
    pub fn ask_failed(&mut self) {
        self.is_asking = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_run_through_blocks_and_are_asked_for_in_time() {
        let mut ids = ProducerIds::default();
        assert_eq!(ids.take(), None);
        assert!(ids.should_ask());
        assert!(!ids.should_ask(), "once is enough");
        ids.ask_failed();
        assert!(ids.should_ask());
        ids.put(ProducerIdBlock { first: ProducerId::new(5000), len: 1000 });
        let mut asked_after = None;
        for taken in 0..1000 {
            assert_eq!(ids.take(), Some(ProducerId::new(5000 + taken)));
            if ids.should_ask() {
                asked_after = Some(taken + 1);
                ids.put(ProducerIdBlock { first: ProducerId::new(9000), len: 1000 });
            }
        }
        assert_eq!(asked_after, Some(900));
        assert_eq!(ids.take(), Some(ProducerId::new(9000)));
    }
}
