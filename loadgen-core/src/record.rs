//! What is counted, once, by one worker.
