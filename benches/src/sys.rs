//! The system calls of the floors and of the side-by-side runs that no safe wrapper offers.
//!
//! Each function is one call with its arguments checked; nothing here may decide anything. The
//! floors must not share code with the engine's drivers: a floor that is made of what it measures
//! measures nothing.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(crate) use libc::epoll_event as EpollEvent;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn check_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// `epoll_create1(2)`.
pub(crate) fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: takes a flag and gives a new descriptor, which nobody else owns.
    unsafe {
        let fd = check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// `epoll_ctl(2)`: watches `fd` for input, edge-triggered, as number `id`.
pub(crate) fn watch(epoll: BorrowedFd<'_>, fd: RawFd, id: u64) -> io::Result<()> {
    let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
    let mut event = EpollEvent { events, u64: id };
    // SAFETY: `event` outlives the call; the kernel checks both descriptors.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
    Ok(())
}

/// `epoll_pwait2(2)` by number, as old C libraries have no wrapper; `None` waits without end.
pub(crate) fn wait(
    epoll: BorrowedFd<'_>,
    events: &mut [EpollEvent],
    timeout_ns: Option<u64>,
) -> io::Result<usize> {
    let timeout = timeout_ns.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as libc::c_long,
    });
    let place = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `events` is writable for its whole length, `timeout` outlives the call, no mask.
    let result = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            events.len() as libc::c_int,
            place,
            std::ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    check_len(result as isize)
}

/// `recv(2)`.
#[inline]
pub(crate) fn receive(fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `into` is writable for its whole length.
    check_len(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), 0) })
}

/// `recv(2)` with `MSG_TRUNC` (tcp(7)): the bytes that are there are thrown away. It never waits: with a
/// low-water mark a receive that has some of its bytes already would sleep past the others.
#[inline]
pub(crate) fn discard(fd: RawFd, scratch: &mut [u8]) -> io::Result<usize> {
    let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
    // SAFETY: `scratch` is writable for its whole length, should the kernel copy after all.
    check_len(unsafe { libc::recv(fd, scratch.as_mut_ptr().cast(), scratch.len(), flags) })
}

/// `send(2)`, without a signal.
#[inline]
pub(crate) fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is readable for its whole length.
    check_len(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) })
}

/// `SO_RCVLOWAT` (socket(7)).
#[inline]
pub(crate) fn set_low_water(fd: RawFd, bytes: usize) -> io::Result<()> {
    let value = bytes as libc::c_int;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is a live int of `length` bytes.
    check(unsafe {
        let place = (&raw const value).cast();
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, place, length)
    })?;
    Ok(())
}

/// `PR_SET_TIMERSLACK` (prctl(2)) to 1 ns for the calling thread.
pub(crate) fn exact_sleeps() {
    // SAFETY: the call takes plain numbers; refused, sleeps stay as coarse as they were.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
}

/// What a process has used (`getrusage(2)`).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// CPU time in user mode, s.
    pub(crate) user_s: f64,
    /// CPU time in the kernel, s.
    pub(crate) system_s: f64,
    /// Peak resident memory, KiB. For a child it begins with the parent's at the fork.
    pub(crate) max_rss_kib: u64,
}

fn usage(raw: &libc::rusage) -> Usage {
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Usage {
        user_s: seconds(raw.ru_utime),
        system_s: seconds(raw.ru_stime),
        max_rss_kib: raw.ru_maxrss as u64,
    }
}

/// What this process has used so far.
pub(crate) fn own_usage() -> Usage {
    // SAFETY: rusage is plain integers, for which zero is a value; it is live and writable.
    unsafe {
        let mut raw: libc::rusage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut raw);
        usage(&raw)
    }
}

/// `wait4(2)` without blocking: the wait status and the usage of child `pid`, once it has ended.
pub(crate) fn reap(pid: u32) -> io::Result<Option<(i32, Usage)>> {
    let mut status = 0;
    // SAFETY: rusage is plain integers, for which zero is a value; both places are live.
    unsafe {
        let mut raw: libc::rusage = mem::zeroed();
        let pid = pid as libc::pid_t;
        let reaped = check(libc::wait4(
            pid,
            &raw mut status,
            libc::WNOHANG,
            &raw mut raw,
        ))?;
        Ok((reaped != 0).then(|| (status, usage(&raw))))
    }
}

/// CPU time of another process so far, ns, all its threads, ended ones too
/// (`clock_getcpuclockid(3)`).
pub(crate) fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both places are live and writable.
    unsafe {
        let error = libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock);
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        check(libc::clock_gettime(clock, &raw mut time))?;
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Moves the calling thread into the network namespace behind `namespace` (setns(2)).
pub(crate) fn enter(namespace: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: takes plain numbers; the kernel checks the descriptor.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })?;
    Ok(())
}

/// Makes the child of `command` run on `cpus` (empty: anywhere) and in the network namespace
/// behind `namespace`, and end with this process: it is sent SIGTERM when the thread that starts
/// it ends, however that happens (`PR_SET_PDEATHSIG`, prctl(2)).
pub(crate) fn place(command: &mut Command, cpus: &[u32], namespace: Option<BorrowedFd<'_>>) {
    // SAFETY: cpu_set_t is plain integers, for which zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &cpu in cpus {
        if (cpu as usize) < libc::CPU_SETSIZE as usize {
            // SAFETY: `cpu` is below the size of the set.
            unsafe { libc::CPU_SET(cpu as usize, &mut set) };
        }
    }
    let pinned = !cpus.is_empty();
    let namespace = namespace.map(|fd| fd.as_raw_fd());
    let parent = std::process::id();
    let prepare = move || {
        // SAFETY: takes plain numbers.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0) })?;
        // SAFETY: asks for a number. It has changed when the parent was gone before the line above.
        if unsafe { libc::getppid() }.cast_unsigned() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        if pinned {
            // SAFETY: `set` is live and of the size said; 0 is the calling thread.
            check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })?;
        }
        if let Some(fd) = namespace {
            enter(&fd)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes a few system calls and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// librdkafka's calls for many messages at a time, which the crate has no wrapper of.
#[cfg(feature = "librdkafka")]
pub(crate) mod librdkafka {
    use std::ffi::{CString, c_void};
    use std::{io, mem, ptr};

    use rdkafka_sys as rd;

    /// What some messages came to.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Taken {
        /// Messages.
        pub(crate) messages: u64,
        /// Bytes of their keys and values.
        pub(crate) bytes: u64,
        /// Partitions that were found to be at their end.
        pub(crate) ends: u64,
        /// The last error code; 0: none.
        pub(crate) error: i32,
    }

    /// A consumer's queue.
    pub(crate) struct Queue(*mut rd::rd_kafka_queue_t);

    impl Queue {
        /// The queue of `client`, which must outlive it (`rd_kafka_queue_get_consumer`).
        pub(crate) fn of(client: *mut rd::rd_kafka_t) -> io::Result<Self> {
            // SAFETY: the caller's client is live.
            let queue = unsafe { rd::rd_kafka_queue_get_consumer(client) };
            if queue.is_null() {
                return Err(io::Error::other("the client is no consumer"));
            }
            Ok(Self(queue))
        }

        /// Takes what is there, waiting for the first of it, and counts it
        /// (`rd_kafka_consume_callback_queue`).
        pub(crate) fn take(&mut self, timeout_ms: i32) -> Taken {
            let mut taken = Taken::default();
            let place = (&raw mut taken).cast();
            // SAFETY: the queue is live; `count` is called within this call only, with `taken`.
            unsafe { rd::rd_kafka_consume_callback_queue(self.0, timeout_ms, Some(count), place) };
            taken
        }
    }

    /// One message, which librdkafka frees when this has returned.
    unsafe extern "C" fn count(message: *mut rd::rd_kafka_message_t, taken: *mut c_void) {
        // SAFETY: the message is live for this call; `taken` is what `Queue::take` gave along.
        let (seen, taken) = unsafe { (&*message, &mut *taken.cast::<Taken>()) };
        match seen.err {
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => {
                taken.messages += 1;
                taken.bytes += (seen.len + seen.key_len) as u64;
            }
            rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => taken.ends += 1,
            other => taken.error = other as i32,
        }
    }

    impl Drop for Queue {
        fn drop(&mut self) {
            // SAFETY: it came from rd_kafka_queue_get_consumer and is used no more.
            unsafe { rd::rd_kafka_queue_destroy(self.0) };
        }
    }

    /// A topic to write one value to, again and again, without a copy of it.
    pub(crate) struct Writer {
        topic: *mut rd::rd_kafka_topic_t,
        messages: Vec<rd::rd_kafka_message_t>,
        value: Vec<u8>,
    }

    impl Writer {
        /// `batch` messages at a time with `value`, by turns to so many partitions, through
        /// `client`, which must outlive it. All must be delivered before it is dropped.
        pub(crate) fn of(
            client: *mut rd::rd_kafka_t,
            topic: &str,
            value: Vec<u8>,
            batch: usize,
        ) -> io::Result<Self> {
            let name = CString::new(topic).map_err(io::Error::other)?;
            // SAFETY: the client is live, the name ends with a NUL; no settings of its own.
            let topic = unsafe { rd::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
            if topic.is_null() {
                return Err(io::Error::other("no such topic handle"));
            }
            // SAFETY: the struct is integers and pointers, for which zero is a value.
            let empty = || unsafe { mem::zeroed() };
            Ok(Self {
                topic,
                messages: (0..batch).map(|_| empty()).collect(),
                value,
            })
        }

        /// Gives it a batch for `partition`; how many there was room for
        /// (`rd_kafka_produce_batch`).
        pub(crate) fn put(&mut self, partition: i32) -> usize {
            for message in &mut self.messages {
                message.payload = self.value.as_mut_ptr().cast();
                message.len = self.value.len();
                message.err = rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            }
            let (array, count) = (self.messages.as_mut_ptr(), self.messages.len() as i32);
            // SAFETY: the array is live for its whole length; the values live as long as self, are
            // never written to, and are neither copied nor freed, as no flag asks for it.
            let taken =
                unsafe { rd::rd_kafka_produce_batch(self.topic, partition, 0, array, count) };
            usize::try_from(taken).unwrap_or(0)
        }
    }

    impl Drop for Writer {
        fn drop(&mut self) {
            // SAFETY: it came from rd_kafka_topic_new and is used no more.
            unsafe { rd::rd_kafka_topic_destroy(self.topic) };
        }
    }
}
