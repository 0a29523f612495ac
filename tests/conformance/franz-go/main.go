// Command franz-go runs the Go client of that name against a broker: what is read back is what was sent, to the byte.
//
//	franz-go BOOTSTRAP PREFIX
//
// It prints `ok NAME` or `FAIL NAME: why` for every case; the exit code is 1 if one failed. Partitions are consumed
// directly, except where a case is about groups.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const partitions = 12

// No case takes as long as this unless something is wrong.
const deadline = 60 * time.Second

var (
	bootstrap string
	prefix    string
	failures  int
	admin     *kadm.Client
)

func run(name string, body func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := body(ctx); err != nil {
		failures++
		fmt.Printf("FAIL %s: %v\n", name, err)
		return
	}
	fmt.Printf("ok %s\n", name)
}

func client(options ...kgo.Opt) *kgo.Client {
	all := append([]kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)
	made, err := kgo.NewClient(all...)
	if err != nil {
		panic(err)
	}
	return made
}

func create(ctx context.Context, name string, configs map[string]*string) (string, error) {
	topic := prefix + "-" + name
	if _, err := admin.CreateTopic(ctx, partitions, 1, configs, topic); err != nil {
		return topic, fmt.Errorf("creating %s: %w", topic, err)
	}
	return topic, settle(ctx, topic)
}

// settle waits until an Apache Kafka broker leads what its controller has created: it answers creations before that.
func settle(ctx context.Context, topic string) error {
	for os.Getenv("RINGLOG_CONFORMANCE_BOOTSTRAP") != "" {
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		if ends.Error() == nil && len(ends[topic]) > 0 {
			return nil
		}
	}
	return nil
}

// records have everything that a record can have: no key, no value, both empty, headers, a time of its own.
func records(topic string, count int, seed int64) []*kgo.Record {
	random := rand.New(rand.NewSource(seed))
	start := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	var all []*kgo.Record
	for i := range count {
		record := &kgo.Record{Topic: topic, Partition: int32(i % partitions)}
		record.Timestamp = start.Add(time.Duration(random.Intn(3_000_000)) * time.Millisecond)
		switch {
		case i%7 == 0:
		case i%11 == 0:
			record.Key = []byte{}
		default:
			record.Key = fmt.Appendf(nil, "key %d", i)
		}
		switch {
		case i%13 == 0:
		case i%17 == 0:
			record.Value = []byte{}
		default:
			record.Value = make([]byte, random.Intn(1500))
			if i%2 == 0 {
				random.Read(record.Value)
			}
		}
		for h := range i % 4 {
			header := kgo.RecordHeader{Key: fmt.Sprintf("name %d", h/2), Value: fmt.Appendf(nil, "ü%d", i)}
			if h == 2 {
				header.Value = nil
			}
			record.Headers = append(record.Headers, header)
		}
		all = append(all, record)
	}
	return all
}

func read(ctx context.Context, topic string, count int, options ...kgo.Opt) ([]*kgo.Record, error) {
	offsets := map[int32]kgo.Offset{}
	for p := range int32(partitions) {
		offsets[p] = kgo.NewOffset().AtStart()
	}
	from := kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
	consumer := client(append(options, from, kgo.FetchMaxWait(200*time.Millisecond))...)
	defer consumer.Close()
	return poll(ctx, consumer, count)
}

func poll(ctx context.Context, consumer *kgo.Client, count int) ([]*kgo.Record, error) {
	var all []*kgo.Record
	for len(all) < count {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return all, fmt.Errorf("after %d of %d records: %w", len(all), count, err)
		}
		all = append(all, fetches.Records()...)
	}
	if len(all) > count {
		return all, fmt.Errorf("%d records where %d were sent", len(all), count)
	}
	return all, nil
}

func compare(sent, found []*kgo.Record) error {
	expected := map[int32][]*kgo.Record{}
	for _, record := range sent {
		expected[record.Partition] = append(expected[record.Partition], record)
	}
	next := map[int32]int64{}
	for _, record := range found {
		where := fmt.Sprintf("partition %d, offset %d", record.Partition, record.Offset)
		at := next[record.Partition]
		next[record.Partition]++
		if record.Offset != at || at >= int64(len(expected[record.Partition])) {
			return fmt.Errorf("%s: offset %d is due", where, at)
		}
		wanted := expected[record.Partition][at]
		switch {
		case !sameBytes(wanted.Key, record.Key):
			return fmt.Errorf("%s: key %q, not %q", where, record.Key, wanted.Key)
		case !sameBytes(wanted.Value, record.Value):
			return fmt.Errorf("%s: value of %d bytes differs", where, len(record.Value))
		case !wanted.Timestamp.Equal(record.Timestamp):
			return fmt.Errorf("%s: timestamp %v, not %v", where, record.Timestamp, wanted.Timestamp)
		case len(wanted.Headers) != len(record.Headers):
			return fmt.Errorf("%s: %d headers", where, len(record.Headers))
		}
		for h := range wanted.Headers {
			if wanted.Headers[h].Key != record.Headers[h].Key || !sameBytes(wanted.Headers[h].Value, record.Headers[h].Value) {
				return fmt.Errorf("%s: header %d differs", where, h)
			}
		}
	}
	return nil
}

// sameBytes tells nil, which is null in Kafka, from empty.
func sameBytes(one, other []byte) bool {
	return (one == nil) == (other == nil) && bytes.Equal(one, other)
}

func roundTrip(ctx context.Context, topic string, sent []*kgo.Record, options ...kgo.Opt) error {
	producer := client(options...)
	defer producer.Close()
	if err := producer.ProduceSync(ctx, sent...).FirstErr(); err != nil {
		return fmt.Errorf("producing: %w", err)
	}
	found, err := read(ctx, topic, len(sent))
	if err != nil {
		return err
	}
	return compare(sent, found)
}

func codecs() {
	type named[T any] struct {
		name  string
		value T
	}
	for _, codec := range []named[kgo.CompressionCodec]{
		{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()},
	} {
		for _, acks := range []named[kgo.Acks]{{"0", kgo.NoAck()}, {"1", kgo.LeaderAck()}, {"all", kgo.AllISRAcks()}} {
			run(fmt.Sprintf("codec %s, acks %s", codec.name, acks.name), func(ctx context.Context) error {
				topic, err := create(ctx, "codec-"+codec.name+"-"+acks.name, nil)
				if err != nil {
					return err
				}
				options := []kgo.Opt{kgo.ProducerBatchCompression(codec.value), kgo.RequiredAcks(acks.value)}
				if acks.name != "all" {
					options = append(options, kgo.DisableIdempotentWrite())
				}
				return roundTrip(ctx, topic, records(topic, 2400, 1), options...)
			})
		}
	}
}

func idempotence(ctx context.Context) error {
	topic, err := create(ctx, "idempotent", nil)
	if err != nil {
		return err
	}
	return roundTrip(ctx, topic, records(topic, 6000, 2), kgo.ProducerBatchMaxBytes(2000), kgo.ProducerLinger(0))
}

func autoCreate(ctx context.Context) error {
	topic := prefix + "-auto"
	sent := &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: time.UnixMilli(1)}
	producer := client(kgo.AllowAutoTopicCreation())
	defer producer.Close()
	if err := producer.ProduceSync(ctx, sent).FirstErr(); err != nil {
		return err
	}
	found, err := read(ctx, topic, 1)
	if err != nil {
		return err
	}
	return compare([]*kgo.Record{sent}, found)
}

func unknownTopic(ctx context.Context) error {
	producer := client(kgo.UnknownTopicRetries(1))
	defer producer.Close()
	err := producer.ProduceSync(ctx, &kgo.Record{Topic: prefix + "-unknown"}).FirstErr()
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("found %v", err)
	}
	return nil
}

func large(ctx context.Context) error {
	topic, err := create(ctx, "large", nil)
	if err != nil {
		return err
	}
	producer := client(kgo.ProducerBatchMaxBytes(4_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer producer.Close()
	value := make([]byte, 1_048_000)
	rand.New(rand.NewSource(3)).Read(value)
	fits := &kgo.Record{Topic: topic, Value: value, Timestamp: time.UnixMilli(1)}
	if err := producer.ProduceSync(ctx, fits).FirstErr(); err != nil {
		return err
	}
	err = producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: make([]byte, 1_100_000)}).FirstErr()
	if !errors.Is(err, kerr.MessageTooLarge) {
		return fmt.Errorf("1,100,000 bytes: found %v", err)
	}
	found, err := read(ctx, topic, 1, kgo.FetchMaxBytes(1000), kgo.FetchMaxPartitionBytes(1000))
	if err != nil {
		return err
	}
	return compare([]*kgo.Record{fits}, found)
}

func topics(ctx context.Context) error {
	retention := "123456"
	topic, err := create(ctx, "admin", map[string]*string{"retention.ms": &retention})
	if err != nil {
		return err
	}
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("created twice: %v", err)
	}
	details, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	before := details[topic]
	if len(before.Partitions) != partitions || before.Err != nil {
		return fmt.Errorf("%d partitions, %v", len(before.Partitions), before.Err)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	found := ""
	for _, config := range configs[0].Configs {
		if config.Key == "retention.ms" {
			found = config.MaybeValue()
		}
	}
	if found != retention {
		return fmt.Errorf("retention.ms is %q", found)
	}
	if grown, err := admin.UpdatePartitions(ctx, partitions+1, topic); err != nil || grown.Error() != nil {
		return fmt.Errorf("growing: %v, %v", err, grown.Error())
	}
	if deleted, err := admin.DeleteTopics(ctx, topic); err != nil || deleted.Error() != nil {
		return fmt.Errorf("deleting: %v, %v", err, deleted.Error())
	}
	if _, err := create(ctx, "admin", nil); err != nil {
		return err
	}
	details, err = admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	if details[topic].ID == before.ID || len(details[topic].Partitions) != partitions {
		return fmt.Errorf("made again: id %v, %d partitions", details[topic].ID, len(details[topic].Partitions))
	}
	return roundTrip(ctx, topic, records(topic, 120, 5))
}

func offsets(ctx context.Context) error {
	topic, err := create(ctx, "offsets", nil)
	if err != nil {
		return err
	}
	producer := client()
	defer producer.Close()
	start := time.UnixMilli(time.Now().UnixMilli() - 100_000)
	for i := range 100 {
		record := &kgo.Record{Topic: topic, Timestamp: start.Add(time.Duration(i) * time.Second), Value: fmt.Appendf(nil, "%d", i)}
		if err := producer.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	at := func(listed kadm.ListedOffsets, err error) int64 {
		if err != nil {
			return -99
		}
		offset, _ := listed.Lookup(topic, 0)
		return offset.Offset
	}
	for _, check := range []struct {
		what            string
		found, expected int64
	}{
		{"earliest", at(admin.ListStartOffsets(ctx, topic)), 0},
		{"latest", at(admin.ListEndOffsets(ctx, topic)), 100},
		{"committed", at(admin.ListCommittedOffsets(ctx, topic)), 100},
		{"after 50.5 s", at(admin.ListOffsetsAfterMilli(ctx, start.UnixMilli()+50_500, topic)), 51},
	} {
		if check.found != check.expected {
			return fmt.Errorf("%s: offset %d, not %d", check.what, check.found, check.expected)
		}
	}
	at42 := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(42)}}
	consumer := client(kgo.ConsumePartitions(at42))
	defer consumer.Close()
	found, err := poll(ctx, consumer, 58)
	if err != nil {
		return err
	}
	if string(found[0].Value) != "42" {
		return fmt.Errorf("at 42: %s", found[0].Value)
	}
	return nil
}

// tail has a consumer wait at the end, and sends to it one record at a time.
func tail(ctx context.Context) error {
	topic, err := create(ctx, "tail", nil)
	if err != nil {
		return err
	}
	ends := map[string]map[int32]kgo.Offset{topic: {}}
	for p := range int32(partitions) {
		ends[topic][p] = kgo.NewOffset().At(0)
	}
	consumer := client(kgo.ConsumePartitions(ends), kgo.FetchMaxWait(20*time.Second))
	defer consumer.Close()
	producer := client(kgo.ProducerLinger(0))
	defer producer.Close()
	for turn := range 50 {
		value := fmt.Appendf(nil, "turn %d", turn)
		sent := time.Now()
		if err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: int32(turn % partitions), Value: value}).FirstErr(); err != nil {
			return err
		}
		found, err := poll(ctx, consumer, 1)
		if err != nil {
			return err
		}
		if !bytes.Equal(found[0].Value, value) || time.Since(sent) > 10*time.Second {
			return fmt.Errorf("turn %d: %s after %v", turn, found[0].Value, time.Since(sent))
		}
	}
	return nil
}

func cluster(ctx context.Context) error {
	metadata, err := admin.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	if len(metadata.Brokers) != 1 || metadata.Controller != metadata.Brokers[0].NodeID || len(metadata.Cluster) != 22 {
		return fmt.Errorf("found %+v", metadata)
	}
	request := kmsg.NewPtrDescribeClusterRequest()
	response, err := request.RequestWith(ctx, client())
	if err != nil {
		return err
	}
	if response.ErrorCode != 0 || response.ClusterID != metadata.Cluster {
		return fmt.Errorf("DescribeCluster: %+v", response)
	}
	return nil
}

// group has two members share a topic; one leaves, and the other one reads on where the commits are.
func group(ctx context.Context) error {
	topic, err := create(ctx, "group", nil)
	if err != nil {
		return err
	}
	name := prefix + "-group"
	member := func() *kgo.Client {
		return client(kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200*time.Millisecond))
	}
	produce := func(turn int) error {
		var all []*kgo.Record
		for i := range 600 {
			value := fmt.Sprintf("turn %d value %d", turn, i)
			all = append(all, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: []byte(value)})
		}
		writer := client()
		defer writer.Close()
		return writer.ProduceSync(ctx, all...).FirstErr()
	}
	seen := map[string]int{}
	drain := func(want int, members ...*kgo.Client) error {
		for len(seen) < want {
			for _, one := range members {
				short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
				fetches := one.PollFetches(short)
				cancel()
				if ctx.Err() != nil {
					return fmt.Errorf("%d of %d records: %w", len(seen), want, ctx.Err())
				}
				fetches.EachRecord(func(record *kgo.Record) { seen[string(record.Value)]++ })
				if err := one.CommitUncommittedOffsets(ctx); err != nil {
					return fmt.Errorf("committing: %w", err)
				}
			}
		}
		return nil
	}
	if err := produce(1); err != nil {
		return err
	}
	one, two := member(), member()
	defer two.Close()
	if err := drain(600, one, two); err != nil {
		return err
	}
	one.Close()
	if err := produce(2); err != nil {
		return err
	}
	if err := drain(1200, two); err != nil {
		return err
	}
	offsets, err := admin.FetchOffsets(ctx, name)
	if err != nil {
		return err
	}
	for partition := range int32(partitions) {
		if offset, _ := offsets.Lookup(topic, partition); offset.At != 1200/partitions {
			return fmt.Errorf("partition %d is committed at %d", partition, offset.At)
		}
	}
	described, err := admin.DescribeGroups(ctx, name)
	if err != nil {
		return err
	}
	if state := described[name].State; state != "Stable" || len(described[name].Members) != 1 {
		return fmt.Errorf("the group is %s, with %d members", state, len(described[name].Members))
	}
	return nil
}

func main() {
	bootstrap, prefix = os.Args[1], os.Args[2]
	admin = kadm.NewClient(client())
	codecs()
	run("idempotent producer, 12 partitions", idempotence)
	run("a topic created by producing", autoCreate)
	run("an unknown topic", unknownTopic)
	run("large records", large)
	run("topics and their settings", topics)
	run("offsets by position and time", offsets)
	run("a reader that waits at the end", tail)
	run("a group of two members, one of which leaves", group)
	run("the cluster", cluster)
	if failures > 0 {
		os.Exit(1)
	}
}
