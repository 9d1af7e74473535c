//! What the target counts.

loadgen_core::counters! {
    pub(super) Counter {
        TotalConnections "total_connections",
        BytesRead "bytes_read",
        BytesWritten "bytes_written",
        ControlRequests "control_requests",
        BadRequests "bad_requests",
        ProduceRequests "produce_requests",
        ProducedBatches "produced_batches",
        ProducedRecords "produced_records",
        ProducedBatchBytes "produced_batch_bytes",
        RefusedBatches "refused_batches",
        CrcErrors "crc_errors",
        FetchRequests "fetch_requests",
        EmptyFetches "empty_fetches",
        FetchedBatches "fetched_batches",
        FetchedRecords "fetched_records",
        FetchedBatchBytes "fetched_batch_bytes",
    }
}
