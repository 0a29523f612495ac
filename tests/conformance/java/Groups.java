// Apache Kafka's Java client in groups: members that share partitions, and administrators that look after them.
//   java -cp '.kafka/tools/*' Groups.java BOOTSTRAP PREFIX
// Prints `ok NAME` or `FAIL NAME: why` for every case; the exit code is 1 if one failed. All members of a case are polled in
// turns by one thread.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Groups {
    static final int PARTITIONS = 12;
    static final Duration DEADLINE = Duration.ofSeconds(60);
    static final Duration TURN = Duration.ofMillis(50);
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
            System.out.println("FAIL " + name + ": " + (why instanceof ExecutionException ? why.getCause() : why));
            for (StackTraceElement at : why.getStackTrace()) {
                if (at.getClassName().startsWith("Groups")) {
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

    static void fails(Class<? extends Throwable> expected, Case body) throws Exception {
        try {
            body.run();
        } catch (Throwable failed) {
            Throwable cause = failed instanceof ExecutionException ? failed.getCause() : failed;
            check(expected.isInstance(cause), "expected " + expected.getSimpleName() + ", found " + cause);
            return;
        }
        throw new AssertionError("nothing failed where " + expected.getSimpleName() + " was expected");
    }

    static Properties settings(Object... pairs) {
        Properties all = new Properties();
        all.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < pairs.length; i += 2) {
            all.put(pairs[i], pairs[i + 1].toString());
        }
        return all;
    }

    /** A topic with as many records in each partition. */
    static String topic(Admin admin, String name, int each) throws Exception {
        String full = prefix + "-group-" + name;
        admin.createTopics(List.of(new NewTopic(full, PARTITIONS, (short) 1))).all().get();
        produce(full, each);
        return full;
    }

    static void produce(String topic, int each) {
        var serializer = new ByteArraySerializer();
        try (var producer = new KafkaProducer<>(settings(), serializer, serializer)) {
            for (int i = 0; i < each * PARTITIONS; i++) {
                producer.send(new ProducerRecord<>(topic, i % PARTITIONS, null, ("record " + i).getBytes()));
            }
        }
    }

    static List<TopicPartition> partitions(String topic) {
        return IntStream.range(0, PARTITIONS).mapToObj(p -> new TopicPartition(topic, p)).toList();
    }

    /** A consumer in a group, and what it lives through. */
    static class Member implements ConsumerRebalanceListener, AutoCloseable {
        final KafkaConsumer<byte[], byte[]> consumer;
        final Set<TopicPartition> revoked = new HashSet<>();
        final Set<TopicPartition> lost = new HashSet<>();
        int assignments = 0;
        int read = 0;

        Member(String group, String topic, Object... pairs) {
            Properties all = settings(pairs);
            all.put("group.id", group);
            all.put("auto.offset.reset", "earliest");
            all.put("enable.auto.commit", "false");
            if (!"consumer".equals(all.get("group.protocol"))) {
                // The broker says how often members of the consumer protocol send heartbeats.
                all.put("heartbeat.interval.ms", "200");
            }
            var deserializer = new ByteArrayDeserializer();
            consumer = new KafkaConsumer<>(all, deserializer, deserializer);
            consumer.subscribe(List.of(topic), this);
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            assignments++;
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            revoked.addAll(partitions);
            consumer.commitSync();
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            lost.addAll(partitions);
        }

        void poll() {
            read += consumer.poll(TURN).count();
        }

        int owned() {
            return consumer.assignment().size();
        }

        int generation() {
            return consumer.groupMetadata().generationId();
        }

        @Override
        public void close() {
            consumer.close();
        }
    }

    static void pollUntil(String what, BooleanSupplier holds, Member... members) {
        long end = System.nanoTime() + DEADLINE.toNanos();
        while (!holds.getAsBoolean()) {
            check(System.nanoTime() < end, "never: " + what);
            for (Member member : members) {
                member.poll();
            }
        }
    }

    static Map<TopicPartition, OffsetAndMetadata> committed(Admin admin, String group) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    }

    static void committedAll(Admin admin, String group, String topic, long offset) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> found = committed(admin, group);
        for (TopicPartition partition : partitions(topic)) {
            check(found.get(partition) != null, partition + " has no offset");
            same(offset, found.get(partition).offset(), "committed of " + partition);
        }
    }

    static ConsumerGroupDescription describe(Admin admin, String group) throws Exception {
        return admin.describeConsumerGroups(List.of(group)).all().get().get(group);
    }

    // --- members

    /** One member, two, and one again: every record is read, and once. */
    static void rebalances(Admin admin, String assignor, boolean cooperative) throws Exception {
        String topic = topic(admin, assignor, 50);
        String group = prefix + "-" + assignor;
        String name = "org.apache.kafka.clients.consumer." + assignor + "Assignor";
        Object[] pairs = {"partition.assignment.strategy", name};
        try (Member one = new Member(group, topic, pairs)) {
            pollUntil("one has all", () -> one.owned() == PARTITIONS && one.read == 600, one);
            try (Member two = new Member(group, topic, pairs)) {
                pollUntil("they share", () -> one.owned() == 6 && two.owned() == 6, one, two);
                Set<TopicPartition> both = new HashSet<>(one.consumer.assignment());
                both.addAll(two.consumer.assignment());
                same(new HashSet<>(partitions(topic)), both, "assigned");
                same(cooperative ? 6 : PARTITIONS, one.revoked.size(), "revoked of the first");
                committedAll(admin, group, topic, 50);
                produce(topic, 50);
                pollUntil("the rest is read", () -> one.read + two.read >= 1200, one, two);
                same(900, one.read, "read by the first");
                ConsumerGroupDescription described = describe(admin, group);
                same(GroupState.STABLE, described.groupState(), "state");
                same(2, described.members().size(), "members");
                same(cooperative ? "cooperative-sticky" : assignor.equals("Range") ? "range" : "sticky",
                        described.partitionAssignor(), "assignor");
                two.consumer.commitSync();
            }
            pollUntil("one has all again", () -> one.owned() == PARTITIONS, one);
            one.consumer.commitSync();
            same(900, one.read, "read by the first, after the second had left");
            same(0, one.lost.size(), "lost");
        }
        committedAll(admin, group, topic, 100);
        same(GroupState.EMPTY, describe(admin, group).groupState(), "state at the end");
    }

    /** A static member that goes and comes is not missed. */
    static void staticMembers(Admin admin) throws Exception {
        String topic = topic(admin, "static", 5);
        String group = prefix + "-static";
        try (Member one = new Member(group, topic, "group.instance.id", "one")) {
            Member two = new Member(group, topic, "group.instance.id", "two");
            pollUntil("they share", () -> one.owned() == 6 && two.owned() == 6, one, two);
            int generation = one.generation();
            Set<TopicPartition> assigned = two.consumer.assignment();
            two.close();
            try (Member back = new Member(group, topic, "group.instance.id", "two")) {
                pollUntil("the second is back", () -> back.owned() == 6, one, back);
                same(assigned, back.consumer.assignment(), "assigned to who came back");
                same(generation, back.generation(), "generation of who came back");
                same(generation, one.generation(), "generation of who stayed");
                try (Member twin = new Member(group, topic, "group.instance.id", "two")) {
                    pollUntil("the twin has its place", () -> twin.owned() == 6, one, twin);
                    fails(FencedInstanceIdException.class, () -> pollUntil("the first twin ends", () -> false, back));
                }
            }
            same(2, describe(admin, group).members().size(), "members, one of which is away");
            admin.removeMembersFromConsumerGroup(group,
                    new RemoveMembersFromConsumerGroupOptions(Set.of(new MemberToRemove("two")))).all().get();
            pollUntil("the first has all", () -> one.owned() == PARTITIONS, one);
        }
        admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions()).all().get();
        same(GroupState.EMPTY, describe(admin, group).groupState(), "state at the end");
    }

    /** Who does not poll for long is no member any more, and cannot commit. */
    static void late(Admin admin) throws Exception {
        String topic = topic(admin, "late", 5);
        String group = prefix + "-late";
        try (Member one = new Member(group, topic, "max.poll.interval.ms", 1000, "session.timeout.ms", 30_000)) {
            pollUntil("one has read", () -> one.read == 5 * PARTITIONS, one);
            try (Member two = new Member(group, topic, "max.poll.interval.ms", 30_000)) {
                pollUntil("the other has all", () -> two.owned() == PARTITIONS, two);
                fails(CommitFailedException.class, one.consumer::commitSync);
                pollUntil("they share", () -> one.owned() == 6 && two.owned() == 6, one, two);
                same(PARTITIONS, one.lost.size(), "lost");
            }
        }
    }

    /** A group moves to the consumer protocol and back, member by member, and every record is read once. */
    static void migrates(Admin admin) throws Exception {
        String topic = topic(admin, "migrates", 50);
        String group = prefix + "-migrates";
        Object[] classic = {"partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"};
        try (Member old = new Member(group, topic, classic)) {
            pollUntil("the classic member has all", () -> old.owned() == PARTITIONS && old.read == 600, old);
            old.consumer.commitSync();
            try (Member next = new Member(group, topic, "group.protocol", "consumer")) {
                pollUntil("they share", () -> old.owned() == 6 && next.owned() == 6, old, next);
                Set<TopicPartition> both = new HashSet<>(old.consumer.assignment());
                both.addAll(next.consumer.assignment());
                same(new HashSet<>(partitions(topic)), both, "assigned");
                same(6, old.revoked.size(), "revoked of the classic member");
                same(GroupType.CONSUMER, describe(admin, group).type(), "type");
                produce(topic, 50);
                pollUntil("the rest is read", () -> old.read + next.read >= 1200, old, next);
                same(900, old.read, "read by the classic member");
                old.consumer.commitSync();
                next.consumer.commitSync();
            }
            pollUntil("the classic member has all again", () -> old.owned() == PARTITIONS, old);
            same(GroupType.CLASSIC, describe(admin, group).type(), "type at the end");
            old.consumer.commitSync();
            same(0, old.lost.size(), "lost");
        }
        committedAll(admin, group, topic, 100);
    }

    // --- administrators

    static void offsets(Admin admin) throws Exception {
        String topic = topic(admin, "offsets", 5);
        String group = prefix + "-offsets";
        List<TopicPartition> all = partitions(topic);
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        all.forEach(of -> offsets.put(of, new OffsetAndMetadata(of.partition(), Optional.of(0), "of " + of.partition())));
        admin.alterConsumerGroupOffsets(group, offsets).all().get();
        same(offsets, committed(admin, group), "what was committed");
        String other = prefix + "-no-offsets";
        var several = admin.listConsumerGroupOffsets(Map.of(group, new ListConsumerGroupOffsetsSpec(),
                other, new ListConsumerGroupOffsetsSpec().topicPartitions(all.subList(0, 1)))).all().get();
        same(offsets, several.get(group), "of one of several groups");
        same(1, several.get(other).size(), "of a group that is not there");
        same(null, several.get(other).get(all.get(0)), "of a group that is not there");
        admin.deleteConsumerGroupOffsets(group, Set.of(all.get(0), all.get(1))).all().get();
        same(new HashSet<>(all.subList(2, PARTITIONS)), committed(admin, group).keySet(), "what is left");
        try (Member member = new Member(group, topic)) {
            pollUntil("it has all", () -> member.owned() == PARTITIONS, member);
            same(3L, member.consumer.committed(Set.of(all.get(3))).get(all.get(3)).offset(), "committed");
            fails(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get());
            fails(GroupSubscribedToTopicException.class,
                    () -> admin.deleteConsumerGroupOffsets(group, Set.of(all.get(2))).all().get());
        }
        admin.deleteConsumerGroups(List.of(group)).all().get();
        same(Map.of(), committed(admin, group), "after the deletion");
        fails(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(List.of(group)).all().get());
        fails(GroupIdNotFoundException.class, () -> describe(admin, group));
    }

    static void listings(Admin admin) throws Exception {
        String topic = topic(admin, "listed", 5);
        String group = prefix + "-listed";
        try (Member member = new Member(group, topic)) {
            pollUntil("it has all", () -> member.owned() == PARTITIONS, member);
            List<String> stable = new ArrayList<>();
            for (GroupListing listed : admin.listGroups(ListGroupsOptions.forConsumerGroups()
                    .inGroupStates(Set.of(GroupState.STABLE))).all().get()) {
                stable.add(listed.groupId());
            }
            check(stable.contains(group), "not among the stable: " + stable);
            var described = describe(admin, group).members().iterator().next();
            same("/127.0.0.1", described.host(), "host");
            same(new HashSet<>(partitions(topic)), described.assignment().topicPartitions(), "assigned");
            same(member.consumer.groupMetadata().memberId(), described.consumerId(), "member id");
        }
        for (GroupListing listed : admin.listGroups().all().get()) {
            if (listed.groupId().equals(group)) {
                same(Optional.of(GroupState.EMPTY), listed.groupState(), "state");
                same("consumer", listed.protocol(), "protocol");
                return;
            }
        }
        check(false, "not listed");
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        prefix = arguments[1];
        try (Admin admin = Admin.create(settings("default.api.timeout.ms", DEADLINE.toMillis()))) {
            run("a group that rebalances eagerly", () -> rebalances(admin, "Range", false));
            run("a group that rebalances cooperatively", () -> rebalances(admin, "CooperativeSticky", true));
            run("static members, and twins", () -> staticMembers(admin));
            run("a group that moves between the protocols", () -> migrates(admin));
            run("a member that is late", () -> late(admin));
            run("offsets by administrators", () -> offsets(admin));
            run("groups by administrators", () -> listings(admin));
        }
        System.exit(failures > 0 ? 1 : 0);
    }
}
