//! The shared command-line flags.
