//! What the target counts, under memcached's names.

loadgen_core::counters! {
    pub(super) Counter {
        TotalConnections "total_connections",
        RejectedConnections "rejected_connections",
        CmdGet "cmd_get",
        CmdSet "cmd_set",
        CmdFlush "cmd_flush",
        CmdTouch "cmd_touch",
        GetHits "get_hits",
        GetMisses "get_misses",
        DeleteHits "delete_hits",
        DeleteMisses "delete_misses",
        IncrHits "incr_hits",
        IncrMisses "incr_misses",
        DecrHits "decr_hits",
        DecrMisses "decr_misses",
        CasHits "cas_hits",
        CasMisses "cas_misses",
        CasBadval "cas_badval",
        TouchHits "touch_hits",
        TouchMisses "touch_misses",
        StoreTooLarge "store_too_large",
        StoreNoMemory "store_no_memory",
        AuthCmds "auth_cmds",
        AuthErrors "auth_errors",
        BytesRead "bytes_read",
        BytesWritten "bytes_written",
    }
}
