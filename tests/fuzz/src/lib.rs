//! What fuzz targets share: choices out of the input, a disk in memory, data directories to damage.

pub mod choices;
pub mod damage;
pub mod directory;
pub mod disk;
