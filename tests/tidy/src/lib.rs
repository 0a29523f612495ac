//! House rules that a machine can keep; they run as ordinary tests.
