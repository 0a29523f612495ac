// Apache Kafka's Java client against a broker: what is read back is what was sent, to the byte.
//   java -cp '.kafka/tools/*' Cases.java BOOTSTRAP PREFIX
// Prints `ok NAME` or `FAIL NAME: why` for every case; the exit code is 1 if one failed. Consumers have partitions assigned:
// Groups.java is about groups.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Cases {
    static final int PARTITIONS = 12;
    static final Duration DEADLINE = Duration.ofSeconds(60);
    static String bootstrap;
    static String prefix;
    static int failures = 0;

    interface Case {
        void run() throws Exception;
    }

    static void run(String name, Case body) {
        try {
            body.run();
            System.out.println("ok " + name);
        } catch (Throwable why) {
            failures++;
            Throwable cause = why instanceof ExecutionException ? why.getCause() : why;
            System.out.println("FAIL " + name + ": " + cause);
            for (StackTraceElement at : why.getStackTrace()) {
                if (at.getClassName().startsWith("Cases")) {
                    System.out.println("    at " + at);
                }
            }
        }
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void same(Object expected, Object found, String what) {
        check(Objects.equals(expected, found), what + ": expected " + expected + ", found " + found);
    }

    // --- clients

    static Properties settings(Object... pairs) {
        Properties all = new Properties();
        all.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < pairs.length; i += 2) {
            all.put(pairs[i], pairs[i + 1].toString());
        }
        return all;
    }

    static KafkaProducer<byte[], byte[]> producer(Object... pairs) {
        return new KafkaProducer<>(settings(pairs), new ByteArraySerializer(), new ByteArraySerializer());
    }

    static KafkaConsumer<byte[], byte[]> consumer(Object... pairs) {
        return new KafkaConsumer<>(settings(pairs), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static String topic(Admin admin, String name, Map<String, String> configs) throws Exception {
        String full = prefix + "-" + name;
        admin.createTopics(List.of(new NewTopic(full, PARTITIONS, (short) 1).configs(configs))).all().get();
        settle(admin, full);
        return full;
    }

    /** Apache Kafka answers a creation before its broker leads the partitions; asking each for its end waits for that. */
    static void settle(Admin admin, String topic) throws Exception {
        if (System.getenv("RINGLOG_CONFORMANCE_BOOTSTRAP") != null) {
            Map<TopicPartition, OffsetSpec> all = new HashMap<>();
            partitions(topic).forEach(partition -> all.put(partition, OffsetSpec.latest()));
            for (boolean ready = false; !ready; ) {
                try {
                    admin.listOffsets(all).all().get();
                    ready = true;
                } catch (ExecutionException failed) {
                    check(failed.getCause() instanceof UnknownTopicOrPartitionException, "settling: " + failed.getCause());
                }
            }
        }
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    // --- what is sent

    /** Records with everything that a record can have: no key, no value, both empty, headers, a time of its own. */
    static List<ProducerRecord<byte[], byte[]>> records(String topic, int count, long seed) {
        Random random = new Random(seed);
        long start = System.currentTimeMillis() - 1_000_000;
        List<ProducerRecord<byte[], byte[]>> all = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            byte[] key = i % 7 == 0 ? null : i % 11 == 0 ? new byte[0] : bytes("key " + i);
            byte[] value = i % 13 == 0 ? null : i % 17 == 0 ? new byte[0] : new byte[random.nextInt(1500)];
            if (value != null && i % 2 == 0) {
                random.nextBytes(value);
            }
            List<Header> headers = new ArrayList<>();
            for (int h = 0; h < i % 4; h++) {
                headers.add(new RecordHeader("name " + h / 2, h == 2 ? null : bytes("ü" + i)));
            }
            // Not in order: a record's time is the producer's business.
            long time = start + random.nextInt(900_000);
            all.add(new ProducerRecord<>(topic, i % PARTITIONS, time, key, value, headers));
        }
        return all;
    }

    static List<RecordMetadata> send(KafkaProducer<byte[], byte[]> producer, List<ProducerRecord<byte[], byte[]>> all)
            throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (ProducerRecord<byte[], byte[]> record : all) {
            sent.add(producer.send(record));
        }
        producer.flush();
        List<RecordMetadata> done = new ArrayList<>();
        for (Future<RecordMetadata> one : sent) {
            done.add(one.get(DEADLINE.toSeconds(), TimeUnit.SECONDS));
        }
        return done;
    }

    // --- what is read

    static List<ConsumerRecord<byte[], byte[]>> read(KafkaConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> all = new ArrayList<>();
        long end = System.nanoTime() + DEADLINE.toNanos();
        while (all.size() < count && System.nanoTime() < end) {
            consumer.poll(Duration.ofMillis(500)).forEach(all::add);
        }
        same(count, all.size(), "records read");
        return all;
    }

    static List<ConsumerRecord<byte[], byte[]>> readAll(String topic, int count, Object... pairs) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(pairs)) {
            List<TopicPartition> partitions = partitions(topic);
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            return read(consumer, count);
        }
    }

    static List<TopicPartition> partitions(String topic) {
        return IntStream.range(0, PARTITIONS).mapToObj(p -> new TopicPartition(topic, p)).toList();
    }

    static void compare(List<ProducerRecord<byte[], byte[]>> sent, List<ConsumerRecord<byte[], byte[]>> read) {
        Map<Integer, List<ProducerRecord<byte[], byte[]>>> expected = new HashMap<>();
        sent.forEach(r -> expected.computeIfAbsent(r.partition(), p -> new ArrayList<>()).add(r));
        Map<Integer, Integer> next = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> found : read) {
            int at = next.merge(found.partition(), 1, Integer::sum) - 1;
            String where = "partition " + found.partition() + " offset " + found.offset();
            same((long) at, found.offset(), where + ": offset");
            ProducerRecord<byte[], byte[]> wanted = expected.get(found.partition()).get(at);
            check(Arrays.equals(wanted.key(), found.key()), where + ": key");
            check(Arrays.equals(wanted.value(), found.value()), where + ": value");
            check(Arrays.equals(wanted.headers().toArray(), found.headers().toArray()), where + ": headers");
            if (wanted.timestamp() != null) {
                same(wanted.timestamp(), found.timestamp(), where + ": timestamp");
                same(TimestampType.CREATE_TIME, found.timestampType(), where + ": timestamp type");
            }
            check(found.leaderEpoch().orElse(-1) >= 0, where + ": leader epoch");
        }
    }

    // --- cases

    static void codecs(Admin admin) {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            for (String acks : List.of("0", "1", "all")) {
                run("codec " + codec + ", acks " + acks, () -> {
                    String topic = topic(admin, "codec-" + codec + "-" + acks, Map.of());
                    List<ProducerRecord<byte[], byte[]>> sent = records(topic, 2400, 1);
                    boolean idempotent = acks.equals("all");
                    try (var producer = producer("compression.type", codec, "acks", acks, "enable.idempotence", idempotent)) {
                        List<RecordMetadata> done = send(producer, sent);
                        if (!acks.equals("0")) {
                            same(0L, done.get(0).offset(), "first offset");
                            same(199L, done.get(2399).offset(), "last offset");
                        }
                    }
                    compare(sent, readAll(topic, 2400));
                });
            }
        }
    }

    static void idempotence(Admin admin) throws Exception {
        String topic = topic(admin, "idempotent", Map.of());
        List<ProducerRecord<byte[], byte[]>> sent = records(topic, 6000, 2);
        try (var producer = producer("enable.idempotence", true, "acks", "all", "batch.size", 2000, "linger.ms", 0,
                "max.in.flight.requests.per.connection", 5)) {
            send(producer, sent);
        }
        compare(sent, readAll(topic, 6000, "isolation.level", "read_committed"));
    }

    static void autoCreate() throws Exception {
        String topic = prefix + "-auto";
        List<ProducerRecord<byte[], byte[]>> sent = List.of(new ProducerRecord<>(topic, 0, 1L, bytes("k"), bytes("v")));
        try (var producer = producer()) {
            send(producer, sent);
        }
        try (var consumer = consumer("allow.auto.create.topics", false)) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            consumer.seekToBeginning(consumer.assignment());
            compare(sent, read(consumer, 1));
        }
    }

    static void large(Admin admin) throws Exception {
        String topic = topic(admin, "large", Map.of());
        byte[] value = new byte[1_048_000];
        new Random(3).nextBytes(value);
        List<ProducerRecord<byte[], byte[]>> sent = List.of(new ProducerRecord<>(topic, 0, 1L, null, value));
        try (var producer = producer("max.request.size", 8_000_000, "buffer.memory", 64_000_000)) {
            send(producer, sent);
            var tooLarge = new ProducerRecord<>(topic, 0, 2L, (byte[]) null, new byte[1_100_000]);
            expect(RecordTooLargeException.class, () -> send(producer, List.of(tooLarge)));
        }
        // Also where a fetch may carry less than this one batch.
        compare(sent, readAll(topic, 1, "max.partition.fetch.bytes", 1000, "fetch.max.bytes", 1000));
        String wide = topic(admin, "larger", Map.of("max.message.bytes", "4000000"));
        List<ProducerRecord<byte[], byte[]>> three = List.of(new ProducerRecord<>(wide, 0, 1L, null, new byte[3_000_000]));
        try (var producer = producer("max.request.size", 8_000_000, "buffer.memory", 64_000_000)) {
            send(producer, three);
        }
        compare(three, readAll(wide, 1));
    }

    static void expect(Class<? extends Throwable> wanted, Case body) throws Exception {
        try {
            body.run();
        } catch (ExecutionException failed) {
            check(wanted.isInstance(failed.getCause()), "expected " + wanted.getSimpleName() + ", found " + failed.getCause());
            return;
        } catch (RuntimeException failed) {
            check(wanted.isInstance(failed), "expected " + wanted.getSimpleName() + ", found " + failed);
            return;
        }
        throw new AssertionError("expected " + wanted.getSimpleName());
    }

    static void logAppendTime(Admin admin) throws Exception {
        String topic = topic(admin, "append-time", Map.of("message.timestamp.type", "LogAppendTime"));
        long before = System.currentTimeMillis();
        List<RecordMetadata> done;
        try (var producer = producer("compression.type", "zstd")) {
            done = send(producer, List.of(new ProducerRecord<>(topic, 0, 5L, bytes("k"), bytes("v"))));
        }
        ConsumerRecord<byte[], byte[]> found = readAll(topic, 1).get(0);
        same(TimestampType.LOG_APPEND_TIME, found.timestampType(), "timestamp type");
        check(found.timestamp() >= before && found.timestamp() <= System.currentTimeMillis(), "timestamp is the broker's");
        same(found.timestamp(), done.get(0).timestamp(), "timestamp in the answer");
        String usual = topic(admin, "create-time", Map.of());
        var tomorrow = new ProducerRecord<>(usual, 0, System.currentTimeMillis() + 86_400_000, bytes("k"), bytes("v"));
        try (var producer = producer()) {
            expect(InvalidTimestampException.class, () -> send(producer, List.of(tomorrow)));
        }
    }

    static void topicCodec(Admin admin) throws Exception {
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd", "uncompressed")) {
            String topic = topic(admin, "recompressed-" + codec, Map.of("compression.type", codec));
            List<ProducerRecord<byte[], byte[]>> sent = records(topic, 1200, 4);
            try (var producer = producer("compression.type", codec.equals("lz4") ? "gzip" : "lz4")) {
                send(producer, sent);
            }
            compare(sent, readAll(topic, 1200));
        }
    }

    static void offsets(Admin admin) throws Exception {
        String topic = topic(admin, "offsets", Map.of());
        TopicPartition first = new TopicPartition(topic, 0);
        long start = System.currentTimeMillis() - 100_000;
        List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            sent.add(new ProducerRecord<>(topic, 0, start + (i == 700 ? 50_000 : i * 10), null, bytes("value " + i)));
        }
        try (var producer = producer("batch.size", 1000)) {
            send(producer, sent);
        }
        same(0L, offset(admin, first, OffsetSpec.earliest()), "earliest");
        same(1000L, offset(admin, first, OffsetSpec.latest()), "latest");
        same(700L, offset(admin, first, OffsetSpec.maxTimestamp()), "of the greatest timestamp");
        same(0L, offset(admin, first, OffsetSpec.earliestLocal()), "earliest local");
        same(500L, offset(admin, first, OffsetSpec.forTimestamp(start + 5_000)), "at a timestamp");
        same(501L, offset(admin, first, OffsetSpec.forTimestamp(start + 5_001)), "after a timestamp");
        same(-1L, offset(admin, first, OffsetSpec.forTimestamp(start + 50_001)), "after all timestamps");
        try (var consumer = consumer("auto.offset.reset", "none")) {
            consumer.assign(List.of(first));
            Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(Map.of(first, start + 123));
            same(13L, found.get(first).offset(), "consumer's offset for a time");
            same(Map.of(first, 1000L), consumer.endOffsets(List.of(first)), "end offsets");
            consumer.seek(first, 990);
            same("value 990", new String(read(consumer, 10).get(0).value(), StandardCharsets.UTF_8), "value");
            consumer.seek(first, 1001);
            expect(OffsetOutOfRangeException.class, () -> read(consumer, 1));
        }
    }

    static long offset(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    static void topics(Admin admin) throws Exception {
        String topic = topic(admin, "admin", Map.of("retention.ms", "123456"));
        expect(TopicExistsException.class, () -> topic(admin, "admin", Map.of()));
        TopicDescription before = describe(admin, topic);
        same(PARTITIONS, before.partitions().size(), "partitions");
        before.partitions().forEach(p -> check(p.leader() != null && p.isr().size() == 1, "partition without a leader: " + p));
        check(admin.listTopics().names().get().contains(topic), "listed");

        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        same("123456", config(admin, resource).get("retention.ms").value(), "retention.ms");
        same(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, config(admin, resource).get("retention.ms").source(), "source");
        same("delete", config(admin, resource).get("cleanup.policy").value(), "cleanup.policy");
        alter(admin, resource, new ConfigEntry("segment.bytes", "2097152"), AlterConfigOp.OpType.SET);
        alter(admin, resource, new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE);
        alter(admin, resource, new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND);
        Config after = config(admin, resource);
        same("2097152", after.get("segment.bytes").value(), "segment.bytes");
        same("604800000", after.get("retention.ms").value(), "retention.ms");
        same(Set.of("delete", "compact"), Set.of(after.get("cleanup.policy").value().split(",")), "cleanup.policy");

        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(PARTITIONS + 3))).all().get();
        same(PARTITIONS + 3, describe(admin, topic).partitions().size(), "partitions after growing");

        try (var producer = producer()) {
            send(producer, records(topic + "-other", 12, 5));
            send(producer, List.of(new ProducerRecord<>(topic, 0, null, bytes("k"), bytes("old"))));
        }
        admin.deleteTopics(List.of(topic)).all().get();
        expect(UnknownTopicOrPartitionException.class, () -> describe(admin, topic));
        topic(admin, "admin", Map.of());
        TopicDescription again = describe(admin, topic);
        check(!again.topicId().equals(before.topicId()), "a topic that is created again has a new id");
        same(PARTITIONS, again.partitions().size(), "partitions");
        List<ProducerRecord<byte[], byte[]>> anew = records(topic, 120, 6);
        try (var producer = producer()) {
            send(producer, anew);
        }
        compare(anew, readAll(topic, 120));
    }

    /** A topic that is deleted and made again under a producer and a consumer that go on. */
    static void recreateUnderClients(Admin admin) throws Exception {
        String topic = topic(admin, "reborn", Map.of());
        List<TopicPartition> first = List.of(new TopicPartition(topic, 0));
        try (var producer = producer(); var consumer = consumer("auto.offset.reset", "earliest", "metadata.max.age.ms", 500)) {
            consumer.assign(first);
            consumer.seekToBeginning(first);
            for (int life = 0; life < 3; life++) {
                byte[] value = bytes("life " + life);
                send(producer, List.of(new ProducerRecord<>(topic, 0, null, null, value)));
                check(Arrays.equals(value, read(consumer, 1).get(0).value()), "value of life " + life);
                if (life < 2) {
                    admin.deleteTopics(List.of(topic)).all().get();
                    topic(admin, "reborn", Map.of());
                    consumer.seekToBeginning(first);
                }
            }
        }
    }

    static TopicDescription describe(Admin admin, String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    static Config config(Admin admin, ConfigResource resource) throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get().get(resource);
    }

    static void alter(Admin admin, ConfigResource resource, ConfigEntry entry, AlterConfigOp.OpType how) throws Exception {
        Collection<AlterConfigOp> all = Collections.singleton(new AlterConfigOp(entry, how));
        admin.incrementalAlterConfigs(Map.of(resource, all)).all().get();
    }

    static void cluster(Admin admin) throws Exception {
        var cluster = admin.describeCluster();
        same(1, cluster.nodes().get().size(), "nodes");
        same(cluster.nodes().get().iterator().next().id(), cluster.controller().get().id(), "controller");
        check(cluster.clusterId().get().length() == 22, "cluster id");
        String id = Integer.toString(cluster.controller().get().id());
        Config broker = config(admin, new ConfigResource(ConfigResource.Type.BROKER, id));
        same(id, broker.get("node.id").value(), "node.id of the broker");
        check(broker.get("log.retention.ms") != null, "log.retention.ms is described");
    }

    /** A consumer whose request waits at the end gets what is produced then. */
    static void tail(Admin admin) throws Exception {
        String topic = topic(admin, "tail", Map.of());
        try (var producer = producer("linger.ms", 0); var consumer = consumer("fetch.max.wait.ms", 30_000)) {
            List<TopicPartition> all = partitions(topic);
            consumer.assign(all);
            consumer.seekToEnd(all);
            all.forEach(consumer::position);
            for (int i = 0; i < 50; i++) {
                long sent = System.nanoTime();
                send(producer, List.of(new ProducerRecord<>(topic, i % PARTITIONS, null, null, bytes("turn " + i))));
                ConsumerRecord<byte[], byte[]> found = read(consumer, 1).get(0);
                same("turn " + i, new String(found.value(), StandardCharsets.UTF_8), "value");
                check(System.nanoTime() - sent < 10_000_000_000L, "waited for the whole of fetch.max.wait.ms");
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        prefix = arguments[1];
        try (Admin admin = Admin.create(settings("default.api.timeout.ms", DEADLINE.toMillis()))) {
            codecs(admin);
            run("idempotent producer, 12 partitions", () -> idempotence(admin));
            run("a topic created by producing", Cases::autoCreate);
            run("large records", () -> large(admin));
            run("timestamps by the broker, and refused ones", () -> logAppendTime(admin));
            run("topics that recompress", () -> topicCodec(admin));
            run("offsets by position and time", () -> offsets(admin));
            run("topics and their settings", () -> topics(admin));
            run("a topic made again under its clients", () -> recreateUnderClients(admin));
            run("the cluster", () -> cluster(admin));
            run("a reader that waits at the end", () -> tail(admin));
        }
        System.exit(failures > 0 ? 1 : 0);
    }
}
