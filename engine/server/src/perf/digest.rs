//! What is made of a broker's records: they come in, rows for people and programs go out. Nothing here acts.

pub(super) mod grid;
pub(super) mod kept;
pub(super) mod phases;
pub(super) mod record;
pub(super) mod slow;
pub(super) mod top;

#[cfg(test)]
pub(super) mod example;
