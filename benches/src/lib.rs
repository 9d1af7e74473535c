//! Floors, micro benches and side-by-side runs against the peers. Not built yet.
