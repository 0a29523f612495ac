"""aiokafka against a broker: what is read back is what was sent, to the byte.

python aiokafka_cases.py BOOTSTRAP PREFIX
"""

import asyncio
import re

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import CommitFailedError, MessageSizeTooLargeError, TopicAlreadyExistsError
from aiokafka.structs import OffsetAndMetadata

from cases import BOOTSTRAP, PARTITIONS, PREFIX, compare, deadline, end, messages, told


async def create(admin, name, partitions=PARTITIONS, configs=None):
    topic = f"{PREFIX}-{name}"
    new = NewTopic(topic, partitions, 1, topic_configs=configs or {})
    response = await admin.create_topics([new])
    assert response.topic_errors[0][1] == 0, response
    # Apache Kafka answers a creation before its broker leads the partitions.
    async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP) as consumer:
        await consumer.end_offsets([TopicPartition(topic, partition) for partition in range(partitions)])
    return topic


async def send(topic, sent, **options):
    async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, **options) as producer:
        waiting = []
        for partition, key, value, headers, timestamp in sent:
            waiting.append(
                await producer.send(
                    topic, value, key, partition=partition, timestamp_ms=timestamp, headers=headers
                )
            )
        return await asyncio.gather(*waiting)


async def read(topic, count):
    """Reads all partitions until so many records are there."""
    found, check = {}, deadline()
    async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
        while sum(map(len, found.values())) < count:
            check(topic, count, {partition: len(records) for partition, records in found.items()})
            for at, records in (await consumer.getmany(timeout_ms=200)).items():
                kept = [(one.offset, one.key, one.value, list(one.headers), one.timestamp) for one in records]
                found.setdefault(at.partition, []).extend(kept)
    return found


async def codecs(admin):
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        for acks in [0, 1, "all"]:
            with told(f"aiokafka: codec {codec}, acks {acks}"):
                topic = await create(admin, f"codec-{codec}-{acks}")
                sent = messages(1200)
                await send(topic, sent, compression_type=codec, acks=acks)
                compare(sent, await read(topic, len(sent)))


async def producers(admin):
    with told("aiokafka: idempotent producer"):
        topic = await create(admin, "idempotent")
        sent = messages(1200)
        placed = await send(topic, sent, enable_idempotence=True, max_batch_size=4096)
        assert {one.offset for one in placed if one.partition == 3} == set(range(100))
        compare(sent, await read(topic, len(sent)))
    with told("aiokafka: a topic created by producing"):
        topic = f"{PREFIX}-auto"
        await send(topic, [(0, None, b"v", [], 1)])
        assert (await read(topic, 1))[0][0][:3] == (0, None, b"v")
    with told("aiokafka: large records"):
        topic = await create(admin, "large")
        async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, max_request_size=2_000_000) as producer:
            await producer.send_and_wait(topic, b"x" * 1_048_000, partition=0)
            try:
                await producer.send_and_wait(topic, b"x" * 1_100_000, partition=0)
            except MessageSizeTooLargeError:
                pass
            else:
                raise AssertionError("a record that is too large was taken")
        assert len((await read(topic, 1))[0][0][2]) == 1_048_000


async def administration(admin):
    with told("aiokafka: topics and their settings"):
        topic = await create(admin, "admin", configs={"retention.ms": "123456"})
        again = await admin.create_topics([NewTopic(topic, 1, 1)])
        assert again.topic_errors[0][1] == TopicAlreadyExistsError.errno, again
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        entries = (await admin.describe_configs([resource]))[0].resources[0][4]
        assert {entry[0]: entry[1] for entry in entries}["retention.ms"] == "123456"
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "7"})])
        entries = (await admin.describe_configs([resource]))[0].resources[0][4]
        assert {entry[0]: entry[1] for entry in entries}["retention.ms"] == "7"
        await admin.create_partitions({topic: NewPartitions(PARTITIONS + 1)})
        described = await admin.describe_topics([topic])
        assert len(described[0]["partitions"]) == PARTITIONS + 1
        assert topic in await admin.list_topics()
        await admin.delete_topics([topic])
        assert topic not in await admin.list_topics()
    with told("aiokafka: the cluster"):
        described = await admin.describe_cluster()
        assert len(described["brokers"]) == 1 and described["controller_id"] == described["brokers"][0]["node_id"]
    with told("aiokafka: offsets by position and time"):
        topic = await create(admin, "offsets")
        await send(topic, [(0, None, str(i).encode(), [], 1_000_000 + 1000 * i) for i in range(10)])
        at = TopicPartition(topic, 0)
        async with AIOKafkaConsumer(bootstrap_servers=BOOTSTRAP) as consumer:
            consumer.assign([at])
            assert await consumer.beginning_offsets([at]) == {at: 0}
            assert await consumer.end_offsets([at]) == {at: 10}
            found = await consumer.offsets_for_times({at: 1_004_500})
            assert (found[at].offset, found[at].timestamp) == (5, 1_005_000)
            consumer.seek(at, 7)
            assert (await consumer.getone()).value == b"7"
            await consumer.seek_to_end(at)
            assert await consumer.position(at) == 10


def member(group, topics=(), **options):
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=BOOTSTRAP,
        group_id=f"{PREFIX}-{group}",
        auto_offset_reset="earliest",
        heartbeat_interval_ms=300,
        metadata_max_age_ms=1000,
        **options,
    )


async def take(consumers, values):
    """Adds what the consumers get, or nothing in a while."""
    for consumer in consumers:
        for records in (await consumer.getmany(timeout_ms=50)).values():
            values.extend(one.value for one in records)


async def groups(admin):
    with told("aiokafka: a group shares the partitions, and goes on when a member leaves"):
        topic = await create(admin, "shared")
        first, second, check = member("shared", [topic]), member("shared", [topic]), deadline()
        await first.start()
        await second.start()
        values = []
        while not (len(first.assignment()) == len(second.assignment()) == PARTITIONS // 2):
            check("both have half", first.assignment(), second.assignment())
            await take([first, second], values)
        assert not first.assignment() & second.assignment()
        await send(topic, [(i % PARTITIONS, None, str(i).encode(), [], None) for i in range(120)])
        while len(values) < 120:
            check("all are read", len(values))
            await take([first, second], values)
        await second.stop()
        await send(topic, [(i % PARTITIONS, None, str(i).encode(), [], None) for i in range(120, 240)])
        while len(values) < 240:
            check("the other goes on", len(values))
            await take([first], values)
        await first.stop()
        assert sorted(values, key=int) == [str(i).encode() for i in range(240)], "each was read once"
    with told("aiokafka: commits, and a start from them"):
        topic = await create(admin, "commits")
        await send(topic, [(0, None, str(i).encode(), [], None) for i in range(10)])
        at = TopicPartition(topic, 0)
        async with member("commits", [topic], enable_auto_commit=False) as consumer:
            for i in range(4):
                assert (await consumer.getone(at)).value == str(i).encode()
            await consumer.commit({at: OffsetAndMetadata(4, "so far")})
            assert await consumer.committed(at) == 4
        async with member("commits", [topic], enable_auto_commit=False) as consumer:
            assert (await consumer.getone(at)).value == b"4"
        listed = [group[0] for group in await admin.list_consumer_groups()]
        assert f"{PREFIX}-commits" in listed
        offsets = await admin.list_consumer_group_offsets(f"{PREFIX}-commits")
        assert offsets[at].offset == 4 and offsets[at].metadata == "so far"
    with told("aiokafka: a pattern finds topics that come later"):
        await create(admin, "pattern-1", 1)
        consumer, check = member("pattern"), deadline()
        consumer.subscribe(pattern=re.escape(PREFIX) + "-pattern-.*")
        await consumer.start()
        await create(admin, "pattern-2", 1)
        await send(f"{PREFIX}-pattern-2", [(0, None, b"late", [], None)])
        values = []
        while b"late" not in values:
            check("the topic is found", consumer.assignment())
            await take([consumer], values)
        await consumer.stop()
    with told("aiokafka: a static member comes back to what it had"):
        topic, moves = await create(admin, "static"), []

        class Listener(ConsumerRebalanceListener):
            async def on_partitions_revoked(self, revoked):
                moves.append(("revoked", revoked))

            async def on_partitions_assigned(self, assigned):
                moves.append(("assigned", assigned))

        consumer = member("static", group_instance_id="one")
        consumer.subscribe([topic], listener=Listener())
        await consumer.start()
        check = deadline()
        while len(consumer.assignment()) < PARTITIONS:
            check("it has all", consumer.assignment())
            await consumer.getmany(timeout_ms=50)
        described = await admin.describe_consumer_groups([f"{PREFIX}-static"])
        assert described[0].groups[0][2] == "Stable", described
        await consumer.stop()
        assert any(kind == "assigned" and len(of) == PARTITIONS for kind, of in moves), moves
    with told("aiokafka: a commit of a member that the group does not know is refused"):
        topic = await create(admin, "fenced")
        at = TopicPartition(topic, 0)
        consumer = member("fenced", [topic], enable_auto_commit=False)
        await consumer.start()
        check = deadline()
        while not consumer.assignment():
            check("it is assigned")
            await consumer.getmany(timeout_ms=50)
        consumer._coordinator.member_id = "somebody else"
        try:
            await consumer.commit({at: 3})
        except CommitFailedError:
            pass
        else:
            raise AssertionError("a stranger has committed")
        await consumer.stop()


async def main():
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    try:
        await codecs(admin)
        await producers(admin)
        await administration(admin)
        await groups(admin)
    finally:
        await admin.close()


asyncio.run(main())
end()
