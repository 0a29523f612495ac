"""confluent-kafka against a broker, with the classic and with the consumer protocol of groups.

python confluent_cases.py BOOTSTRAP PREFIX
"""

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from cases import BOOTSTRAP, PARTITIONS, PREFIX, compare, deadline, end, messages, told

admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
onlooker = Consumer(
    {"bootstrap.servers": BOOTSTRAP, "group.id": f"{PREFIX}-onlooker", "topic.metadata.refresh.interval.ms": 500}
)


def done(futures):
    """The results of an administrative request, by what it was about."""
    return {key: future.result(timeout=30) for key, future in futures.items()}


def create(name, partitions=PARTITIONS, config=None):
    topic = f"{PREFIX}-{name}"
    done(admin.create_topics([NewTopic(topic, partitions, 1, config=config or {})]))
    # Apache Kafka answers a creation before its broker leads the partitions.
    waiting, check, refusal = list(range(partitions)), deadline(), None
    while waiting:
        check("the topic is there", topic, refusal)
        try:
            onlooker.get_watermark_offsets(TopicPartition(topic, waiting[-1]), timeout=5)
            waiting.pop()
        except KafkaException as why:
            refusal = why
    return topic


def send(topic, sent, **options):
    failed, placed = [], []
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "linger.ms": 5, **options})

    def delivered(error, message):
        failed.append(error) if error else placed.append((message.partition(), message.offset()))

    for partition, key, value, headers, timestamp in sent:
        producer.produce(
            topic, value, key, partition, on_delivery=delivered, timestamp=timestamp or 0, headers=headers
        )
        producer.poll(0)
    assert producer.flush(30) == 0, "not all is delivered"
    assert not failed, failed[0]
    return placed


def read(topic, count):
    consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": f"{PREFIX}-reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
    found, check = {}, deadline()
    while sum(map(len, found.values())) < count:
        check(topic, count, {partition: len(records) for partition, records in found.items()})
        for one in consumer.consume(500, 0.2):
            assert one.error() is None, one.error()
            kept = (one.offset(), one.key(), one.value(), one.headers() or [], one.timestamp()[1])
            found.setdefault(one.partition(), []).append(kept)
    consumer.close()
    return found


def refused(code, act):
    try:
        act()
    except KafkaException as why:
        assert why.args[0].code() == code, why
    else:
        raise AssertionError(f"expected error {code}")


def producers():
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        for acks in ["0", "1", "all"]:
            with told(f"confluent-kafka: codec {codec}, acks {acks}"):
                topic = create(f"codec-{codec}-{acks}")
                sent = messages(1200)
                send(topic, sent, **{"compression.type": codec, "acks": acks})
                compare(sent, read(topic, len(sent)))
    with told("confluent-kafka: idempotent producer"):
        topic = create("idempotent")
        sent = messages(1200)
        placed = send(topic, sent, **{"enable.idempotence": True, "batch.num.messages": 7})
        assert sorted(offset for partition, offset in placed if partition == 3) == list(range(100))
        compare(sent, read(topic, len(sent)))
    with told("confluent-kafka: a topic created by producing"):
        send(f"{PREFIX}-auto", [(0, None, b"v", [], 1)])
        assert read(f"{PREFIX}-auto", 1)[0][0][:3] == (0, None, b"v")
    with told("confluent-kafka: large records"):
        topic = create("large")
        send(topic, [(0, None, b"x" * 1_048_000, [], None)], **{"message.max.bytes": 2_000_000})
        try:
            send(topic, [(0, None, b"x" * 1_100_000, [], None)], **{"message.max.bytes": 2_000_000})
        except AssertionError as why:
            assert why.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE, why
        else:
            raise AssertionError("a record that is too large was taken")


def administration():
    with told("confluent-kafka: topics and their settings"):
        topic = create("admin", config={"retention.ms": "123456"})
        refused(KafkaError.TOPIC_ALREADY_EXISTS, lambda: create("admin"))
        resource = ConfigResource(ResourceType.TOPIC, topic)
        assert done(admin.describe_configs([resource]))[resource]["retention.ms"].value == "123456"
        change = ConfigEntry("retention.ms", "7", incremental_operation=AlterConfigOpType.SET)
        done(admin.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])]))
        assert done(admin.describe_configs([resource]))[resource]["retention.ms"].value == "7"
        wrong = ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET)
        bad = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[wrong])
        refused(KafkaError.INVALID_CONFIG, lambda: done(admin.incremental_alter_configs([bad])))
        done(admin.create_partitions([NewPartitions(topic, PARTITIONS + 1)]))
        described = done(admin.describe_topics(TopicCollection([topic])))[topic]
        assert len(described.partitions) == PARTITIONS + 1
        done(admin.delete_topics([topic]))
        assert topic not in admin.list_topics(timeout=10).topics
    with told("confluent-kafka: the cluster"):
        cluster = admin.describe_cluster().result(timeout=30)
        assert len(cluster.nodes) == 1 and cluster.controller.id == cluster.nodes[0].id
    with told("confluent-kafka: offsets by position and time, and records that are deleted"):
        topic = create("offsets")
        send(topic, [(0, None, str(i).encode(), [], 1_000_000 + 1000 * i) for i in range(10)])
        at = TopicPartition(topic, 0)
        for spec, offset in [
            (OffsetSpec.earliest(), 0),
            (OffsetSpec.latest(), 10),
            (OffsetSpec.for_timestamp(1_004_500), 5),
            (OffsetSpec.max_timestamp(), 9),
        ]:
            listed = done(admin.list_offsets({at: spec}, isolation_level=IsolationLevel.READ_COMMITTED))
            assert listed[at].offset == offset, (spec, listed)
        deleted = done(admin.delete_records([TopicPartition(topic, 0, 4)]))
        assert deleted[at].low_watermark == 4
        consumer = Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": f"{PREFIX}-offsets"})
        assert consumer.get_watermark_offsets(at, timeout=10) == (4, 10)
        consumer.close()


def member(group, protocol, **options):
    own = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300} if protocol == "classic" else {}
    return Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": f"{PREFIX}-{protocol}-{group}",
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
            "topic.metadata.refresh.interval.ms": 1000,
            **own,
            **options,
        }
    )


def values_of(consumers, values, wait=0.05):
    for consumer in consumers:
        for one in consumer.consume(100, wait):
            assert one.error() is None, one.error()
            values.append(one.value())


def groups(protocol, options):
    name = f"confluent-kafka, {protocol}{' ' if options else ''}{', '.join(map(str, options.values()))}"
    kind = "-".join([protocol, *map(str, options.values())])
    with told(f"{name}: a group shares the partitions, and goes on when a member leaves"):
        topic, group = create(f"shared-{kind}"), f"shared-{kind}"
        first, second = member(group, protocol, **options), member(group, protocol, **options)
        values, check = [], deadline()
        first.subscribe([topic])
        second.subscribe([topic])
        while not len(first.assignment()) == len(second.assignment()) == PARTITIONS // 2:
            check("both have half", first.assignment(), second.assignment())
            values_of([first, second], values)
        both = [(at.topic, at.partition) for at in first.assignment() + second.assignment()]
        assert len(set(both)) == PARTITIONS
        send(topic, [(i % PARTITIONS, None, str(i).encode(), [], None) for i in range(120)])
        while len(values) < 120:
            check("all are read", len(values))
            values_of([first, second], values)
        full = f"{PREFIX}-{protocol}-{group}"
        described = done(admin.describe_consumer_groups([full]))[full]
        assert described.state == ConsumerGroupState.STABLE and len(described.members) == 2, described.state
        assert described.type == ConsumerGroupType[protocol.upper()]
        second.close()
        send(topic, [(i % PARTITIONS, None, str(i).encode(), [], None) for i in range(120, 240)])
        while len(values) < 240:
            check("the other goes on", len(values))
            values_of([first], values)
        first.close()
        assert sorted(values, key=int) == [str(i).encode() for i in range(240)], "each was read once"
    with told(f"{name}: commits, a start from them, and others that are set"):
        topic, group = create(f"commits-{kind}"), f"commits-{kind}"
        full, at = f"{PREFIX}-{protocol}-{group}", TopicPartition(topic, 0)
        send(topic, [(0, None, str(i).encode(), [], None) for i in range(10)])
        settings = {"enable.auto.commit": False, **options}

        def one_run(expected):
            consumer, values, check = member(group, protocol, **settings), [], deadline()
            consumer.subscribe([topic])
            while not values:
                check("records come")
                message = consumer.poll(0.1)
                if message is not None and message.error() is None:
                    values.append(message)
            assert values[0].value() == expected, values[0].value()
            consumer.commit(values[0], asynchronous=False)
            committed = consumer.committed([at], timeout=10)[0].offset
            consumer.close()
            return committed

        assert one_run(b"0") == 1
        assert one_run(b"1") == 2
        listed = admin.list_consumer_groups(types={ConsumerGroupType[protocol.upper()]}).result(timeout=30)
        assert full in [one.group_id for one in listed.valid]
        moved = ConsumerGroupTopicPartitions(full, [TopicPartition(topic, 0, 8)])
        done(admin.alter_consumer_group_offsets([moved]))
        assert one_run(b"8") == 9
        offsets = done(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(full)]))[full]
        assert [one.offset for one in offsets.topic_partitions if one.partition == 0] == [9]
        check = deadline()
        while True:
            check("the group is empty")
            try:
                done(admin.delete_consumer_groups([full]))
                break
            except KafkaException as why:
                assert why.args[0].code() == KafkaError.NON_EMPTY_GROUP, why
        refused(KafkaError.GROUP_ID_NOT_FOUND, lambda: done(admin.delete_consumer_groups([full])))
    with told(f"{name}: a pattern finds topics that come later"):
        create(f"pattern-{kind}-1", 1)
        consumer, values, check = member(f"pattern-{kind}", protocol, **options), [], deadline()
        consumer.subscribe([f"^{PREFIX}-pattern-{kind}-.*"])
        values_of([consumer], values)
        late = create(f"pattern-{kind}-2", 1)
        send(late, [(0, None, b"late", [], None)])
        while b"late" not in values:
            check("the topic is found", consumer.assignment())
            values_of([consumer], values)
        consumer.close()
    with told(f"{name}: a static member comes back to what it had"):
        topic, group = create(f"static-{kind}"), f"static-{kind}"
        other = member(group, protocol, **options, **{"group.instance.id": "other"})
        other.subscribe([topic])

        def join():
            consumer, check = member(group, protocol, **options, **{"group.instance.id": "one"}), deadline()
            consumer.subscribe([topic])
            while not len(consumer.assignment()) == len(other.assignment()) == PARTITIONS // 2:
                check("both have half", consumer.assignment(), other.assignment())
                values_of([consumer, other], [])
            had = {at.partition for at in consumer.assignment()}
            consumer.close()
            return had

        assert join() == join(), "it has others than before"
        other.close()
    with told(f"{name}: positions, pauses and seeks"):
        topic = create(f"seek-{kind}")
        send(topic, [(0, None, str(i).encode(), [], None) for i in range(10)])
        consumer, values, check, at = member(f"seek-{kind}", protocol, **options), [], deadline(), TopicPartition(topic, 0)
        consumer.subscribe([topic])
        while len(values) < 10:
            check("all are read", len(values))
            values_of([consumer], values)
        assert consumer.position([at])[0].offset == 10
        consumer.pause([at])
        consumer.seek(TopicPartition(topic, 0, 6))
        values.clear()
        values_of([consumer], values, 0.5)
        assert not values, "it is paused"
        consumer.resume([at])
        while len(values) < 4:
            check("they are read again", len(values))
            values_of([consumer], values)
        assert values == [b"6", b"7", b"8", b"9"]
        consumer.seek(TopicPartition(topic, 0, OFFSET_END))
        consumer.close()


producers()
administration()
groups("classic", {"partition.assignment.strategy": "range"})
groups("classic", {"partition.assignment.strategy": "cooperative-sticky"})
groups("consumer", {})
groups("consumer", {"group.remote.assignor": "range"})
onlooker.close()
end()
