// Prints what Apache Kafka 4.4.0 itself makes of record batches, for the tests of the `batch` module. From this folder:
//
//     java -cp '../../.kafka/broker/*' BatchGolden.java batches > batches.golden
//     java -cp '../../.kafka/broker/*' BatchGolden.java verdicts > verdicts.golden
//     java -cp '../../.kafka/broker/*' BatchGolden.java read < FILE      (lines "batch NAME" and "hex BYTES": reads foreign batches)
//
// `batches`: batches of the Java client, each with its records. `verdicts`: what the broker's own validation answers to
// produced batches, good and bad. Bytes are written as hex behind "=", long ones as "@length:crc32c", null as "-".

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.zip.CRC32C;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.requests.ProduceRequest;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.common.utils.internals.BufferSupplier;
import org.apache.kafka.common.utils.internals.PrimitiveRef;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogValidator;
import org.apache.kafka.storage.internals.log.RecordValidationException;

public class BatchGolden {
    static final long NOW = 1_700_000_000_000L;
    static final long MAX = Long.MAX_VALUE;
    static final HexFormat HEX = HexFormat.of();

    public static void main(String[] args) throws Exception {
        switch (args.length == 1 ? args[0] : "") {
            case "batches" -> batches();
            case "verdicts" -> verdicts();
            case "read" -> read();
            default -> throw new IllegalArgumentException("batches, verdicts or read");
        }
    }

    // What is in a batch.

    static String text(ByteBuffer bytes) {
        if (bytes == null) return "-";
        byte[] array = new byte[bytes.remaining()];
        bytes.duplicate().get(array);
        if (array.length <= 64) return "=" + HEX.formatHex(array);
        CRC32C crc = new CRC32C();
        crc.update(array);
        return "@" + array.length + ":" + Long.toHexString(crc.getValue());
    }

    static String headers(Record record) {
        StringBuilder out = new StringBuilder();
        for (Header header : record.headers()) {
            ByteBuffer key = ByteBuffer.wrap(header.key().getBytes(StandardCharsets.UTF_8));
            ByteBuffer value = header.value() == null ? null : ByteBuffer.wrap(header.value());
            out.append(' ').append(text(key)).append(text(value));
        }
        return out.toString();
    }

    static void print(String name, MemoryRecords records) {
        System.out.println("batch " + name + "\nhex " + hex(records));
        for (RecordBatch batch : records.batches()) {
            batch.ensureValid();
            System.out.println("header " + batch.baseOffset() + " " + batch.lastOffset() + " " + batch.partitionLeaderEpoch() + " "
                + batch.compressionType().name + " " + batch.timestampType().name + " " + batch.maxTimestamp() + " "
                + batch.producerId() + " " + batch.producerEpoch() + " " + batch.baseSequence() + " " + batch.lastSequence() + " "
                + batch.isTransactional() + " " + batch.isControlBatch() + " " + batch.countOrNull() + " " + batch.deleteHorizonMs().orElse(-1));
            for (Record record : batch) {
                record.ensureValid();
                System.out.println("record " + record.offset() + " " + record.timestamp() + " " + text(record.key()) + " "
                    + text(record.value()) + headers(record));
            }
        }
    }

    static String hex(MemoryRecords records) {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return HEX.formatHex(bytes);
    }

    static void read() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        String name = "";
        for (String line; (line = in.readLine()) != null; ) {
            if (line.startsWith("batch ")) name = line.substring(6);
            if (line.startsWith("hex ")) print(name, MemoryRecords.readableRecords(ByteBuffer.wrap(HEX.parseHex(line.substring(4)))));
        }
    }

    // Batches of the Java client.

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static Map<String, Compression> compressions() {
        Map<String, Compression> all = new TreeMap<>();
        all.put("none", Compression.NONE);
        all.put("gzip", Compression.gzip().build());
        all.put("gzip-1", Compression.gzip().level(1).build());
        all.put("gzip-9", Compression.gzip().level(9).build());
        all.put("snappy", Compression.snappy().build());
        all.put("lz4", Compression.lz4().build());
        all.put("lz4-1", Compression.lz4().level(1).build());
        all.put("lz4-17", Compression.lz4().level(17).build());
        all.put("zstd", Compression.zstd().build());
        all.put("zstd-neg5", Compression.zstd().level(-5).build());
        all.put("zstd-22", Compression.zstd().level(22).build());
        return all;
    }

    static void batches() {
        Header[] headers = {
            new RecordHeader("h", bytes("1")), new RecordHeader("h", (byte[]) null), new RecordHeader("", bytes("")), new RecordHeader("\u00fc", bytes("2"))
        };
        SimpleRecord[] small = {
            new SimpleRecord(NOW, bytes("key"), bytes("value"), headers), new SimpleRecord(NOW + 5, (byte[]) null, bytes("no key")),
            new SimpleRecord(NOW - 70_000, bytes("no value"), null), new SimpleRecord(NOW, (byte[]) null, null), new SimpleRecord(NOW + 1, bytes(""), bytes(""))
        };
        for (var entry : compressions().entrySet()) {
            print(entry.getKey() + "-small", MemoryRecords.withRecords(entry.getValue(), small));
            if (entry.getKey().equals("none")) continue;
            // Larger than the blocks of every codec.
            byte[] large = bytes("{\"level\":\"info\",\"message\":\"all is well\",\"count\":1234567890}\n".repeat(5000));
            print(entry.getKey() + "-large", MemoryRecords.withRecords(entry.getValue(), new SimpleRecord(NOW, null, large), small[0]));
        }
        Compression none = Compression.NONE;
        print("idempotent", MemoryRecords.withIdempotentRecords(none, 4000L, (short) 3, Integer.MAX_VALUE - 1, small));
        print("transactional", MemoryRecords.withTransactionalRecords(1234L, Compression.zstd().build(), 4001L, (short) 0, 77, 9, small));
        print("commit", MemoryRecords.withEndTransactionMarker(55L, NOW, 9, 4001L, (short) 0, new EndTransactionMarker(ControlRecordType.COMMIT, 6)));
        print("abort", MemoryRecords.withEndTransactionMarker(56L, NOW, 9, 4001L, (short) 1, new EndTransactionMarker(ControlRecordType.ABORT, 7)));
        MemoryRecordsBuilder append = MemoryRecords.builder(ByteBuffer.allocate(1024), RecordBatch.MAGIC_VALUE_V2, Compression.lz4().build(), TimestampType.LOG_APPEND_TIME, 7L, NOW + 9);
        for (SimpleRecord record : small) append.append(record);
        print("append-time", append.build());
        MemoryRecordsBuilder gaps = MemoryRecords.builder(ByteBuffer.allocate(1024), none, TimestampType.CREATE_TIME, 100L);
        gaps.appendWithOffset(103L, small[0]);
        gaps.appendWithOffset(109L, small[1]);
        gaps.overrideLastOffset(120L);
        print("compacted", gaps.build());
    }

    // What the broker answers.

    record Rules(int version, boolean compacted, TimestampType type, long before, long after, CompressionType target, int recordMax) {
        static final Rules PLAIN = new Rules(13, false, TimestampType.CREATE_TIME, MAX, 3_600_000L, null, Integer.MAX_VALUE);
        Rules version(int version) { return new Rules(version, compacted, type, before, after, target, recordMax); }
        Rules compacted(boolean compacted) { return new Rules(version, compacted, type, before, after, target, recordMax); }
        Rules appendTime() { return new Rules(version, compacted, TimestampType.LOG_APPEND_TIME, before, after, target, recordMax); }
        Rules before(long before) { return new Rules(version, compacted, type, before, after, target, recordMax); }
        Rules target(CompressionType target) { return new Rules(version, compacted, type, before, after, target, recordMax); }
        Rules recordMax(int recordMax) { return new Rules(version, compacted, type, before, after, target, recordMax); }
        public String toString() {
            return version + " " + compacted + " " + type.name + " " + before + " " + after + " " + (target == null ? "producer" : target.name) + " " + recordMax;
        }
    }

    static byte[] patched(byte[] batch, Consumer<ByteBuffer> patch) {
        byte[] bytes = batch.clone();
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        patch.accept(buffer);
        CRC32C crc = new CRC32C();
        crc.update(bytes, 21, bytes.length - 21);
        buffer.putInt(17, (int) crc.getValue());
        return bytes;
    }

    static byte[] extended(byte[] batch, byte[] more) {
        byte[] bytes = java.util.Arrays.copyOf(batch, batch.length + more.length);
        System.arraycopy(more, 0, bytes, batch.length, more.length);
        return patched(bytes, b -> b.putInt(8, bytes.length - 12));
    }

    static void verdict(String name, Rules rules, byte[] source) {
        System.out.println("case " + name + " " + rules + "\nhex " + HEX.formatHex(source) + "\n" + judge(rules, source.clone()));
    }

    static String judge(Rules rules, byte[] source) {
        try {
            MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(source));
            ProduceRequest.validateRecords((short) rules.version, records);
            RecordBatch batch = records.batches().iterator().next();
            CompressionType sourceType = batch.compressionType();
            CompressionType target = rules.target == null ? sourceType : rules.target;
            Time time = new Time() {
                public long milliseconds() { return NOW; }
                public long nanoseconds() { return NOW * 1_000_000; }
                public void sleep(long ms) { }
            };
            LogValidator.MetricsRecorder metrics = new LogValidator.MetricsRecorder() {
                public void recordInvalidMagic() { }
                public void recordInvalidOffset() { }
                public void recordInvalidSequence() { }
                public void recordInvalidChecksums() { }
                public void recordNoKeyCompactedTopic() { }
            };
            // These three the partition's log checks first, in this order.
            if (batch.baseOffset() != 0) return "error INVALID_RECORD";
            if (!batch.isValid()) return "error CORRUPT_MESSAGE";
            LogValidator validator = new LogValidator(records, new TopicPartition("t", 0), time, sourceType, Compression.of(target).build(),
                rules.compacted, (byte) 2, rules.type, rules.before, rules.after, -1, AppendOrigin.CLIENT, rules.recordMax);
            var result = validator.validateMessagesAndAssignOffsets(PrimitiveRef.ofLong(0), metrics, BufferSupplier.NO_CACHING);
            return "ok " + result.logAppendTimeMs() + " " + hex(result.validatedRecords());
        } catch (RecordValidationException e) {
            String indices = e.recordErrors().stream().map(error -> " " + error.batchIndex).collect(Collectors.joining());
            return "error " + Errors.forException(e.invalidException()) + indices;
        } catch (ApiException e) {
            return "error " + Errors.forException(e);
        } catch (RuntimeException e) {
            return "error " + Errors.UNKNOWN_SERVER_ERROR;
        }
    }

    static void verdicts() {
        SimpleRecord[] three = {
            new SimpleRecord(NOW, bytes("a"), bytes("1"), new Header[] {new RecordHeader("h", bytes("v"))}), new SimpleRecord(NOW + 2, bytes("b"), bytes("2")),
            new SimpleRecord(NOW - 1, bytes("c"), null)
        };
        Rules plain = Rules.PLAIN;
        for (CompressionType codec : CompressionType.values()) {
            Compression compression = Compression.of(codec).build();
            byte[] good = HEX.parseHex(hex(MemoryRecords.withRecords(compression, three)));
            String in = codec.name + "-";
            verdict(in + "good", plain, good);
            verdict(in + "v3", plain.version(3), good);
            verdict(in + "v6", plain.version(6), good);
            verdict(in + "v7", plain.version(7), good);
            for (CompressionType target : CompressionType.values()) {
                verdict(in + "to-" + target.name, plain.target(target), good);
                verdict(in + "append-time-to-" + target.name, plain.target(target).appendTime(), good);
            }
            verdict(in + "append-time", plain.appendTime(), good);
            verdict(in + "max-timestamp-lies", plain, patched(good, b -> b.putLong(35, NOW + 77)));
            verdict(in + "append-time-claimed", plain, patched(good, b -> b.putShort(21, (short) (b.getShort(21) | 8))));
            verdict(in + "append-time-claimed-and-so", plain.appendTime(), patched(good, b -> b.putShort(21, (short) (b.getShort(21) | 8))));
            verdict(in + "too-late", plain, patched(good, b -> b.putLong(27, NOW + 3_600_000L)));
            verdict(in + "just-in-time", plain, patched(good, b -> b.putLong(27, NOW + 3_599_998L)));
            verdict(in + "too-early", plain.before(1000), patched(good, b -> b.putLong(27, NOW - 1001)));
            verdict(in + "just-not-too-early", plain.before(1000), patched(good, b -> b.putLong(27, NOW - 999)));
            verdict(in + "too-late-append-time", plain.appendTime(), patched(good, b -> b.putLong(27, NOW + 3_600_000L)));
            verdict(in + "no-timestamps", plain.before(1000),
                HEX.parseHex(hex(MemoryRecords.withRecords(compression, new SimpleRecord(-1L, bytes("a"), null), new SimpleRecord(-1L, bytes("b"), null)))));
            byte[] nullKeys = HEX.parseHex(hex(MemoryRecords.withRecords(compression, three[0], new SimpleRecord(NOW, null, bytes("x")), three[1], new SimpleRecord(NOW + 9_999_999, null, bytes("y")))));
            verdict(in + "null-keys", plain, patched(nullKeys, b -> { }));
            verdict(in + "null-keys-compacted", plain.compacted(true), nullKeys);
            verdict(in + "null-keys-compacted-append-time", plain.compacted(true).appendTime(), nullKeys);
            verdict(in + "keys-compacted", plain.compacted(true), good);
            verdict(in + "control", plain, patched(good, b -> b.putShort(21, (short) (b.getShort(21) | 32))));
            verdict(in + "delete-horizon", plain, patched(good, b -> b.putShort(21, (short) (b.getShort(21) | 64))));
            verdict(in + "unknown-attribute", plain, patched(good, b -> b.putShort(21, (short) (b.getShort(21) | 256))));
            verdict(in + "count-0", plain, patched(good, b -> b.putInt(57, 0)));
            verdict(in + "count-negative", plain, patched(good, b -> b.putInt(57, -1)));
            verdict(in + "count-more", plain, patched(good, b -> b.putInt(57, 4)));
            verdict(in + "delta-more", plain, patched(good, b -> b.putInt(23, 3)));
            verdict(in + "delta-negative", plain, patched(good, b -> b.putInt(23, -1)));
            verdict(in + "both-more", plain, patched(good, b -> b.putInt(23, 3).putInt(57, 4)));
            verdict(in + "both-less", plain, patched(good, b -> b.putInt(23, 1).putInt(57, 2)));
            MemoryRecordsBuilder gaps = MemoryRecords.builder(ByteBuffer.allocate(1024), compression, TimestampType.CREATE_TIME, 0L);
            gaps.appendWithOffset(0L, three[0]);
            gaps.appendWithOffset(2L, three[1]);
            gaps.appendWithOffset(5L, three[2]);
            byte[] gapped = HEX.parseHex(hex(gaps.build()));
            verdict(in + "gaps", plain, gapped);
            verdict(in + "gaps-counted", plain, patched(gapped, b -> b.putInt(23, 2)));
            verdict(in + "base-offset", plain, patched(good, b -> b.putLong(0, 1)));
            verdict(in + "leader-epoch", plain, patched(good, b -> b.putInt(12, 8)));
            verdict(in + "crc", plain, flipped(good, good.length - 1));
            verdict(in + "bytes-behind", plain, extended(good, new byte[] {0}));
            verdict(in + "garbage", plain, patched(good, b -> { for (int at = 61; at < b.limit(); at++) b.put(at, (byte) 0x5a); }));
            verdict(in + "empty-payload", plain, patched(java.util.Arrays.copyOf(good, 61), b -> b.putInt(8, 49)));
            verdict(in + "producer", plain, patched(good, b -> b.putLong(43, 7).putShort(51, (short) 0).putInt(53, 0)));
            verdict(in + "producer-without-sequence", plain, patched(good, b -> b.putLong(43, 7).putShort(51, (short) 0)));
            verdict(in + "producer-without-epoch", plain, patched(good, b -> b.putLong(43, 7).putInt(53, 0)));
            verdict(in + "producer-negative", plain, patched(good, b -> b.putLong(43, -7)));
            verdict(in + "transaction-without-producer", plain, patched(good, b -> b.putShort(21, (short) (b.getShort(21) | 16))));
            byte[] big = HEX.parseHex(hex(MemoryRecords.withRecords(compression, three[0], new SimpleRecord(NOW, bytes("k"), new byte[300]))));
            verdict(in + "record-max-fits", plain.recordMax(308), big);
            verdict(in + "record-max", plain.recordMax(307), big);
        }
        byte[] good = HEX.parseHex(hex(MemoryRecords.withRecords(Compression.NONE, three)));
        for (int codec = 5; codec < 8; codec++) {
            short attributes = (short) codec;
            verdict("codec-" + codec, plain, patched(good, b -> b.putShort(21, attributes)));
        }
        verdict("nothing", plain, new byte[0]);
        verdict("cut", plain, java.util.Arrays.copyOf(good, good.length - 1));
        verdict("cut-in-header", plain, java.util.Arrays.copyOf(good, 40));
        byte[] two = java.util.Arrays.copyOf(good, 2 * good.length);
        System.arraycopy(good, 0, two, good.length, good.length);
        verdict("two-batches", plain, two);
        verdict("part-of-a-second", plain, java.util.Arrays.copyOf(two, two.length - 1));
        verdict("magic-0", plain, HEX.parseHex(hex(MemoryRecords.withRecords((byte) 0, Compression.NONE, new SimpleRecord(NOW, bytes("a"), bytes("1"))))));
        verdict("magic-1", plain, HEX.parseHex(hex(MemoryRecords.withRecords((byte) 1, Compression.NONE, new SimpleRecord(NOW, bytes("a"), bytes("1"))))));
        verdict("magic-3", plain, patched(good, b -> b.put(16, (byte) 3)));
        verdict("magic-negative", plain, patched(good, b -> b.put(16, (byte) -1)));
        verdict("length-48", plain, patched(good, b -> b.putInt(8, 48)));
        verdict("length-13", plain, patched(good, b -> b.putInt(8, 13)));
        verdict("length-negative", plain, patched(good, b -> b.putInt(8, -1)));
        for (int at : List.of(61, 62, 63, 64, 65, 66, 68, 69, 70, 71, 73)) {
            verdict("byte-" + at, plain, patched(good, b -> b.put(at, (byte) (b.get(at) ^ 1))));
            verdict("byte-high-" + at, plain, patched(good, b -> b.put(at, (byte) (b.get(at) ^ 0x80))));
        }
    }

    static byte[] flipped(byte[] batch, int at) {
        byte[] bytes = batch.clone();
        bytes[at] ^= 1;
        return bytes;
    }
}
