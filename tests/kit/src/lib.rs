//! What tests share: broker processes, test data.
