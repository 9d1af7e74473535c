//! The parts of the front that are a library: renderings are pure functions of a document.

pub mod render;
