//! What decides: cluster metadata, its image, the configuration table. Pure.
