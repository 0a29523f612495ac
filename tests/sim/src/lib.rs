//! The whole broker under the simulator: seeded workloads with faults, and the checker of what clients saw.
