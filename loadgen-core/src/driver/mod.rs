//! How bytes and time reach a worker: `epoll` for real, `sim` for tests.
