import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.metadata.MetadataRecordType;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.coordinator.group.generated.CoordinatorRecordType;

/**
 * Prints messages as Apache Kafka's own classes write them, every field filled, in every version: name, version, hex.
 * With arguments, only the messages of these names. A field's value follows from its name and from the place of the
 * array elements that it is in, so that the test, which knows the rule, can tell every field from its neighbours.
 *
 * From the top of the repository: java -cp '.kafka/broker/*' net/golden/Golden.java > net/golden/golden.txt
 */
public final class Golden {
    private static final int ELEMENTS = 2;
    /** How names of the group log's records begin that the schema has. */
    private static final List<String> GROUP_RECORDS = List.of(
        "OffsetCommit", "GroupMetadata", "ConsumerGroupMetadata", "ConsumerGroupMemberMetadata", "ConsumerGroupTargetAssignment",
        "ConsumerGroupCurrentMemberAssignment", "ConsumerGroupRegularExpression");

    public static void main(String[] names) throws Exception {
        Set<String> wanted = new HashSet<>(Arrays.asList(names));
        for (Message message : messages()) {
            String name = message.getClass().getSimpleName().replaceFirst("Data$", "");
            if (!wanted.isEmpty() && !wanted.contains(name)) {
                continue;
            }
            for (short version = message.lowestSupportedVersion(); version <= message.highestSupportedVersion(); version++) {
                Message filled = (Message) filled(message.getClass(), version, 0);
                ObjectSerializationCache cache = new ObjectSerializationCache();
                ByteBuffer bytes = ByteBuffer.allocate(filled.size(cache, version));
                filled.write(new ByteBufferAccessor(bytes), cache, version);
                System.out.println(name + " " + version + " " + HexFormat.of().formatHex(bytes.array()));
            }
        }
    }

    private static List<Message> messages() {
        List<Message> messages = new ArrayList<>(List.of(
            new RequestHeaderData(), new ResponseHeaderData(), new ConsumerProtocolAssignment(),
            new ConsumerProtocolSubscription(), new EndTxnMarker(), new KRaftVersionRecord(), new LeaderChangeMessage(),
            new SnapshotFooterRecord(), new SnapshotHeaderRecord(), new VotersRecord()));
        for (ApiMessageType api : ApiMessageType.values()) {
            boolean retired = api.lowestSupportedVersion() > api.highestSupportedVersion(true);
            if (!retired) {
                messages.add(api.newRequest());
                messages.add(api.newResponse());
            }
        }
        for (MetadataRecordType record : MetadataRecordType.values()) {
            messages.add(record.newMetadataRecord());
        }
        for (CoordinatorRecordType record : CoordinatorRecordType.values()) {
            String name = record.newRecordKey().getClass().getSimpleName();
            if (GROUP_RECORDS.stream().anyMatch(name::startsWith)) {
                messages.add(record.newRecordKey());
                messages.add(record.newRecordValue());
            }
        }
        return messages;
    }

    /** A structure with a value in every field that the version has. */
    private static Object filled(Class<?> type, short version, int place) throws Exception {
        Object structure = type.getDeclaredConstructor().newInstance();
        Schema schema = ((Schema[]) type.getField("SCHEMAS").get(null))[version];
        Set<String> present = new HashSet<>();
        for (BoundField bound : schema.fields()) {
            present.add(flat(bound.def.name));
            if (bound.def.type instanceof TaggedFields tagged) {
                tagged.fields().values().forEach(field -> present.add(flat(field.name)));
            }
        }
        for (Field field : type.getDeclaredFields()) {
            if (!Modifier.isStatic(field.getModifiers()) && present.contains(flat(field.getName()))) {
                field.setAccessible(true);
                field.set(structure, value(field.getName(), field.getGenericType(), version, place));
            }
        }
        return structure;
    }

    private static String flat(String name) {
        return name.replace("_", "").toLowerCase(Locale.ROOT);
    }

    private static Object value(String name, Type type, short version, int place) throws Exception {
        int number = place + 1 + flat(name).chars().sum() % 97;
        String text = flat(name) + place;
        if (type == boolean.class) return true;
        if (type == byte.class || type == Byte.class) return (byte) number;
        if (type == short.class || type == Short.class) return (short) number;
        if (type == int.class || type == Integer.class) return number;
        if (type == long.class || type == Long.class) return (long) number;
        if (type == double.class) return number + 0.5;
        if (type == String.class) return text;
        if (type == Uuid.class) return new Uuid(number, number);
        if (type == byte[].class) return text.getBytes(StandardCharsets.US_ASCII);
        if (type == ByteBuffer.class) return StandardCharsets.US_ASCII.encode(text);
        if (!(type instanceof ParameterizedType) && ((Class<?>) type).isAssignableFrom(MemoryRecords.class)) {
            return MemoryRecords.readableRecords(StandardCharsets.US_ASCII.encode(text));
        }
        if (type instanceof ParameterizedType list) {
            return elements(new ArrayList<>(), list, name, version, place);
        }
        Class<?> structure = (Class<?>) type;
        if (Collection.class.isAssignableFrom(structure)) {
            @SuppressWarnings("unchecked")
            Collection<Object> collection = (Collection<Object>) structure.getDeclaredConstructor().newInstance();
            return elements(collection, (ParameterizedType) structure.getGenericSuperclass(), name, version, place);
        }
        return filled(structure, version, place);
    }

    private static Object elements(
        Collection<Object> elements, ParameterizedType type, String name, short version, int place
    ) throws Exception {
        for (int index = 0; index < ELEMENTS; index++) {
            elements.add(value(name, type.getActualTypeArguments()[0], version, place + index));
        }
        return elements;
    }
}
