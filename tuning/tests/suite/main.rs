//! Machines as folders of files: what is read of them, planned for them, found wrong with them and written to them.
#![forbid(unsafe_code)]

mod applied;
mod checks;
mod odd;
mod plans;
mod recorded;
mod running;
