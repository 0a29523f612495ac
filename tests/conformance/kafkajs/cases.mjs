// kafkajs against a broker: what is read back is what was sent, to the byte.
//   node cases.mjs BOOTSTRAP PREFIX
// Prints `ok NAME` or `FAIL NAME: why` for every case; the exit code is 1 if one failed. kafkajs offers consumers only as
// members of groups, so most cases read with the request that those consumers send, through the client's own broker object.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import kafkajs from "kafkajs";
import lz4 from "lz4js";
import xxh32 from "lz4js/xxh32.js";
import snappy from "snappyjs";
import { ZstdCodec } from "zstd-codec";

const { Kafka, CompressionTypes, CompressionCodecs, Partitioners, logLevel } = kafkajs;
const [bootstrap, prefix] = process.argv.slice(2);
const partitions = 12;
const deadline = 60_000;
let failures = 0;

const zstd = await new Promise((done) => ZstdCodec.run((api) => done(new api.Simple())));
// lz4js writes the frame's one block without saying that blocks stand alone, which Kafka demands: the flag, and with it the
// check byte of the frame's head, are set here.
const lz4Frame = (bytes) => {
  const frame = lz4.compress(bytes);
  frame[4] |= 0x20;
  frame[6] = (xxh32.hash(0, frame, 4, 2) >> 8) & 0xff;
  return frame;
};
const codec = (compress, decompress) => () => ({
  compress: async ({ buffer }) => Buffer.from(compress(buffer)),
  decompress: async (buffer) => Buffer.from(decompress(buffer)),
});
CompressionCodecs[CompressionTypes.Snappy] = codec(snappy.compress, snappy.uncompress);
CompressionCodecs[CompressionTypes.LZ4] = codec(lz4Frame, lz4.decompress);
CompressionCodecs[CompressionTypes.ZSTD] = codec((bytes) => zstd.compress(bytes, 3), (bytes) => zstd.decompress(bytes));

const kafka = new Kafka({
  brokers: [bootstrap],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 20, maxRetryTime: 200, retries: 50 },
});
const admin = kafka.admin();
await admin.connect();

// The cluster object behind producers and consumers, by the symbol that kafkajs keeps it under.
const symbol = Object.getOwnPropertySymbols(kafka).find((one) => one.description === "private:Kafka:createCluster");
const cluster = kafka[symbol]({ metadataMaxAge: 300_000, allowAutoTopicCreation: false });
await cluster.connect();

async function run(name, body) {
  try {
    await body();
    console.log(`ok ${name}`);
  } catch (why) {
    failures += 1;
    console.log(`FAIL ${name}: ${String(why.stack ?? why).split("\n").slice(0, 6).join(" | ")}`);
  }
}

async function create(name, configEntries = []) {
  const topic = `${prefix}-${name}`;
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions, configEntries }], waitForLeaders: false });
  // Apache Kafka answers a creation before its broker leads the partitions.
  for (let ready = process.env.RINGLOG_CONFORMANCE_BOOTSTRAP === undefined; !ready; ) {
    ready = await admin.fetchTopicOffsets(topic).then(() => true, () => false);
  }
  return topic;
}

async function send(topic, messages, { acks, compression, ...options } = {}) {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...options });
  await producer.connect();
  try {
    return await producer.send({ topic, messages, acks, compression, timeout: deadline });
  } finally {
    await producer.disconnect();
  }
}

// Reads one partition from an offset until `count` records are there.
async function read(topic, partition, fetchOffset, count, maxBytes = 10_000_000) {
  await cluster.addTargetTopic(topic);
  const { leader } = cluster.findTopicPartitionMetadata(topic).find((one) => one.partitionId === partition);
  const broker = await cluster.findBroker({ nodeId: leader });
  const found = [];
  for (const end = Date.now() + deadline; found.length < count; ) {
    assert(Date.now() < end, `${found.length} of ${count} records in time`);
    const fetched = await broker.fetch({
      replicaId: -1,
      isolationLevel: 0,
      maxWaitTime: 200,
      minBytes: 1,
      maxBytes,
      topics: [{ topic, partitions: [{ partition, fetchOffset: fetchOffset + found.length, maxBytes }] }],
    });
    const { messages } = fetched.responses[0].partitions[0];
    // A batch is given whole: what lies before the asked offset is the client's to drop.
    found.push(...messages.filter(({ offset }) => Number(offset) >= fetchOffset + found.length));
  }
  assert.equal(found.length, count);
  return found;
}

const bytes = (text) => (text === null ? null : Buffer.from(text));

// Messages with everything that one can have: no key, no value, both empty, headers, a time of its own.
function messages(count) {
  const start = Date.now() - 1_000_000;
  return Array.from({ length: count }, (_, i) => ({
    partition: i % partitions,
    key: i % 7 === 0 ? null : i % 11 === 0 ? "" : `key ${i}`,
    value: i % 13 === 0 ? null : i % 17 === 0 ? "" : i % 2 === 0 ? randomBytes((i * 7919) % 1500) : `ü${i}`.repeat(i % 90),
    headers: i % 3 === 0 ? {} : { one: `${i}`, twice: ["a", Buffer.from([0, 255, i % 256])] },
    timestamp: String(start + ((i * 7919) % 900_000)),
  }));
}

async function compare(topic, sent) {
  for (let partition = 0; partition < partitions; partition += 1) {
    const expected = sent.filter((message) => message.partition === partition);
    const found = await read(topic, partition, 0, expected.length);
    expected.forEach((wanted, i) => {
      const where = `partition ${partition}, offset ${i}`;
      assert.equal(found[i].offset, String(i), where);
      assert.deepEqual(found[i].key, bytes(wanted.key), where);
      assert.deepEqual(found[i].value, bytes(wanted.value), where);
      assert.equal(found[i].timestamp, wanted.timestamp, where);
      const headers = Object.entries(wanted.headers ?? {}).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.map((one) => Buffer.from(one)) : Buffer.from(value),
      ]);
      assert.deepEqual({ ...found[i].headers }, Object.fromEntries(headers), where);
    });
  }
}

for (const [name, compression] of Object.entries(CompressionTypes)) {
  for (const acks of [0, 1, -1]) {
    await run(`codec ${name}, acks ${acks}`, async () => {
      const topic = await create(`codec-${name}-${acks}`);
      const sent = messages(1200);
      await send(topic, sent, { compression, acks });
      await compare(topic, sent);
    });
  }
}

await run("idempotent producer, 12 partitions", async () => {
  const topic = await create("idempotent");
  const producer = kafka.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const sent = messages(1200);
  for (let at = 0; at < sent.length; at += 100) {
    await producer.send({ topic, messages: sent.slice(at, at + 100) });
  }
  await producer.disconnect();
  await compare(topic, sent);
});

await run("a topic created by producing", async () => {
  const topic = `${prefix}-auto`;
  await send(topic, [{ partition: 0, key: null, value: "v", timestamp: "1" }]);
  assert.deepEqual((await read(topic, 0, 0, 1))[0].value, Buffer.from("v"));
});

await run("large records", async () => {
  const topic = await create("large");
  const value = randomBytes(1_048_000);
  await send(topic, [{ partition: 0, key: null, value }]);
  const tooLarge = send(topic, [{ partition: 0, value: randomBytes(1_100_000) }], { retry: { retries: 0 } });
  await assert.rejects(tooLarge, (why) => /too large|larger than the max/i.test(why.message));
  // Also where the limit of the fetch is below this one batch.
  assert.deepEqual((await read(topic, 0, 0, 1, 1000))[0].value, value);
});

await run("topics and their settings", async () => {
  const topic = await create("admin", [{ name: "retention.ms", value: "123456" }]);
  assert.equal(await admin.createTopics({ topics: [{ topic }] }), false, "created twice");
  const described = await admin.describeConfigs({ resources: [{ type: 2, name: topic, configNames: ["retention.ms"] }] });
  assert.equal(described.resources[0].configEntries[0].configValue, "123456");
  await admin.createPartitions({ topicPartitions: [{ topic, count: partitions + 1 }] });
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  assert.equal(topics[0].partitions.length, partitions + 1);
  assert((await admin.listTopics()).includes(topic));
  await admin.deleteTopics({ topics: [topic] });
  assert(!(await admin.listTopics()).includes(topic));
  await create("admin");
  const sent = messages(120);
  await send(topic, sent);
  await compare(topic, sent);
});

await run("offsets by position and time", async () => {
  const topic = await create("offsets");
  const start = Date.now() - 100_000;
  for (let i = 0; i < 10; i += 1) {
    await send(topic, [{ partition: 0, value: `${i}`, timestamp: String(start + i * 1000) }]);
  }
  const first = (offsets) => offsets.find(({ partition }) => partition === 0);
  const { low, high } = first(await admin.fetchTopicOffsets(topic));
  assert.deepEqual([low, high], ["0", "10"]);
  assert.equal(first(await admin.fetchTopicOffsetsByTimestamp(topic, start + 4500)).offset, "5");
  assert.equal(String((await read(topic, 0, 7, 3))[0].value), "7");
});

await run("the cluster", async () => {
  const { brokers, controller, clusterId } = await admin.describeCluster();
  assert.equal(brokers.length, 1);
  assert.equal(controller, brokers[0].nodeId);
  assert.equal(clusterId.length, 22);
});

await run("a group of two members, one of which leaves", async () => {
  const topic = await create("group");
  const groupId = `${prefix}-group`;
  const total = 600;
  const values = Array.from({ length: total }, (_, i) => `value ${i}`);
  await send(topic, values.map((value, i) => ({ key: String(i), value, partition: i % partitions })));
  const read = new Map();
  let resolve, reject;
  const all = new Promise((done, failed) => { resolve = done; reject = failed; });
  const late = () => reject(new Error(`${read.size} of ${total} after ${deadline} ms`));
  AbortSignal.timeout(deadline).addEventListener("abort", late);
  const members = [];
  for (const number of [0, 1]) {
    const consumer = kafka.consumer({ groupId, sessionTimeout: 10_000, rebalanceTimeout: 20_000 });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ message }) => {
        read.set(message.value.toString(), number);
        if (read.size === total) resolve();
      },
    });
    members.push(consumer);
  }
  await all;
  assert.deepEqual([...read.keys()].sort(), [...values].sort());
  await members[0].disconnect();
  await members[1].disconnect();
  const offsets = await admin.fetchOffsets({ groupId, topics: [topic] });
  const committed = offsets[0].partitions.map(({ offset }) => Number(offset));
  assert.deepEqual(committed, Array(partitions).fill(total / partitions));
  const { groups } = await admin.describeGroups([groupId]);
  assert.equal(groups[0].state, "Empty");
  await admin.deleteGroups([groupId]);
});

await cluster.disconnect();
await admin.disconnect();
process.exit(failures > 0 ? 1 : 0);
