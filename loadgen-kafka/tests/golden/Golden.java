// Writes record batches as Apache Kafka's own library makes them, and what the library reads out of
// them again: CASE.bin, and records.txt with a line `CASE OFFSET TIMESTAMP KEY VALUE` a record, the
// lengths −1 for null. Those of every codec have the records of `none`. The tests of `walk` are held
// against both. Run as a single source file, with the jars of Kafka 4.2:
//
//   java -cp 'JARS/*' Golden.java DIRECTORY

import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.utils.BufferSupplier;

class Golden {
    static final long BASE = 1000, TIME = 1_700_000_000_000L;
    static final List<String> CODECS = Arrays.stream(CompressionType.values()).map(type -> type.name).toList();

    public static void main(String[] args) throws Exception {
        Path to = Path.of(args[0]);
        try (var read = new PrintStream(Files.newOutputStream(to.resolve("records.txt")))) {
            for (CompressionType type : CompressionType.values())
                write(to, read, type.name, plain(type, TimestampType.CREATE_TIME));
            write(to, read, "append-time", plain(CompressionType.NONE, TimestampType.LOG_APPEND_TIME));
            write(to, read, "transactions", transactions());
            write(to, read, "compacted", compacted());
        }
    }

    /** 300 records in two batches. */
    static ByteBuffer plain(CompressionType type, TimestampType time) {
        ByteBuffer all = ByteBuffer.allocate(1 << 20);
        for (long base = BASE; base < BASE + 300; base += 150) {
            var builder = builder(type, time, base, -1, false);
            for (long n = base; n < base + 150; n++) append(builder, n);
            all.put(builder.build().buffer());
        }
        return all.flip();
    }

    /** Producer 7 commits and aborts, 8 is open for a while, others write outside transactions. */
    static ByteBuffer transactions() {
        ByteBuffer all = ByteBuffer.allocate(1 << 20);
        long next = BASE;
        for (int producer : new int[] {7, 8, -1, 7}) next = batch(all, next, producer);
        next = marker(all, next, 7, ControlRecordType.ABORT);
        next = batch(all, next, 7);
        next = marker(all, next, 7, ControlRecordType.COMMIT);
        next = batch(all, next, 8);
        marker(all, next, 8, ControlRecordType.ABORT);
        return all.flip();
    }

    /** What the cleaner leaves of 300 records: every seventh, and of one batch only its header. */
    static ByteBuffer compacted() {
        var filter = new MemoryRecords.RecordFilter(TIME, 1000) {
            protected BatchRetentionResult checkBatchRetention(RecordBatch batch) {
                return new BatchRetentionResult(BatchRetention.RETAIN_EMPTY, false);
            }

            protected boolean shouldRetainRecord(RecordBatch batch, Record record) {
                return record.offset() < BASE + 150 && record.offset() % 7 == 0;
            }
        };
        ByteBuffer all = ByteBuffer.allocate(1 << 20);
        MemoryRecords.readableRecords(plain(CompressionType.LZ4, TimestampType.CREATE_TIME))
            .filterTo(filter, all, BufferSupplier.create());
        return all.flip();
    }

    static long batch(ByteBuffer all, long base, long producer) {
        var builder = builder(CompressionType.NONE, TimestampType.CREATE_TIME, base, producer, producer >= 0);
        for (long n = base; n < base + 3; n++) append(builder, n);
        all.put(builder.build().buffer());
        return base + 3;
    }

    static long marker(ByteBuffer all, long base, long producer, ControlRecordType type) {
        var marker = new EndTransactionMarker(type, 0);
        all.put(MemoryRecords.withEndTransactionMarker(base, TIME, 1, producer, (short) 0, marker).buffer());
        return base + 1;
    }

    static MemoryRecordsBuilder builder(CompressionType type, TimestampType time, long base, long producer, boolean transactional) {
        int sequence = producer < 0 ? -1 : 0;
        return MemoryRecords.builder(ByteBuffer.allocate(1 << 16), RecordBatch.CURRENT_MAGIC_VALUE,
            Compression.of(type).build(), time, base, TIME + 999, producer, (short) sequence, sequence,
            transactional, 1);
    }

    static void append(MemoryRecordsBuilder builder, long n) {
        byte[] key = n % 3 == 0 ? null : bytes(n, (int) (n % 3 - 1) * 5);
        byte[] value = n % 5 == 0 ? null : bytes(n, (int) (n % 5 - 1) * 20);
        Header[] headers = new Header[(int) (n % 4)];
        for (int i = 0; i < headers.length; i++)
            headers[i] = new RecordHeader("h" + i, i == 1 ? null : bytes(n, 3));
        builder.appendWithOffset(n, TIME + n % 13, key, value, headers);
    }

    static byte[] bytes(long n, int length) {
        return (n + "-".repeat(length)).substring(0, length).getBytes();
    }

    static void write(Path to, PrintStream read, String name, ByteBuffer batches) throws Exception {
        byte[] bytes = new byte[batches.remaining()];
        batches.duplicate().get(bytes);
        Files.write(to.resolve(name + ".bin"), bytes);
        for (var batch : MemoryRecords.readableRecords(batches).batches())
            for (Record record : batch)
                if (!batch.isControlBatch() && (name.equals("none") || CODECS.indexOf(name) < 0))
                    read.printf("%s %d %d %d %d%n", name, record.offset(), record.timestamp(), record.keySize(),
                        record.valueSize());
    }
}
