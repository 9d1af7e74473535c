// Writes records of every kind a test wants, which Kafka's own tools cannot: tombstones, headers,
// transactions that commit, abort or stay open. Run as a single source file:
//
//   java -cp JARS Records.java TOPIC [NAME=VALUE…] < STEPS
//
// NAME=VALUE are settings of the producer; transactional.id makes `begin`, `commit` and `abort`
// possible. A step a line:
//
//   put PARTITION COUNT KEY VALUE HEADERS   KEY: - or =text, a # in it is the record's number;
//                                           VALUE: - or bytes
//   begin | commit | abort
//
// Records are numbered from 0. Every put waits for its acknowledgements, so batches are those of
// one put. Prints the number of records that were acknowledged. A transaction left open stays open.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

class Records {
    public static void main(String[] args) throws Exception {
        Properties settings = new Properties();
        for (int i = 1; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        ByteArraySerializer bytes = new ByteArraySerializer();
        var producer = new KafkaProducer<byte[], byte[]>(settings, bytes, bytes);
        if (settings.containsKey("transactional.id")) producer.initTransactions();
        long number = 0;
        var steps = new BufferedReader(new InputStreamReader(System.in));
        for (String line = steps.readLine(); line != null; line = steps.readLine()) {
            String[] step = line.split(" ");
            switch (step[0]) {
                case "begin" -> producer.beginTransaction();
                case "commit" -> producer.commitTransaction();
                case "abort" -> producer.abortTransaction();
                case "put" -> number = put(producer, args[0], step, number);
                default -> throw new IllegalArgumentException(line);
            }
        }
        System.out.println(number);
        // Closing would abort a transaction that is to stay open.
        Runtime.getRuntime().halt(0);
    }

    private static long put(KafkaProducer<byte[], byte[]> producer, String topic, String[] step, long number)
            throws Exception {
        int partition = Integer.parseInt(step[1]);
        long end = number + Long.parseLong(step[2]);
        List<Future<?>> sent = new ArrayList<>();
        for (; number < end; number++) {
            byte[] key = step[3].equals("-") ? null : utf8(step[3].substring(1).replace("#", "" + number));
            byte[] value = step[4].equals("-") ? null : value(Integer.parseInt(step[4]), number);
            var record = new ProducerRecord<byte[], byte[]>(topic, partition, key, value);
            for (int i = 0; i < Integer.parseInt(step[5]); i++) record.headers().add("h" + i, utf8("v" + number));
            sent.add(producer.send(record));
        }
        producer.flush();
        for (Future<?> one : sent) one.get();
        return number;
    }

    /** The number and what fills it up; where it does not fit, only that. */
    private static byte[] value(int length, long number) {
        String text = Long.toString(number);
        return utf8(text.length() > length ? "x".repeat(length) : text + "x".repeat(length - text.length()));
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
