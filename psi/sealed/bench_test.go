//go:build unix

package sealed

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// BenchmarkSearch runs whole searches at the real parameters and reports the
// time of each stage (of all goroutines, milliseconds a scan), the CPU of a
// scan and bytes. SYMBOLON_SEALED_SLOTS sets the number of slots (default one
// block), SYMBOLON_SEALED_BATCH the queries a scan, SYMBOLON_SEALED_SYMBOLS the
// symbols of each of the 64 groups (default 4).
func BenchmarkSearch(b *testing.B) {
	env := func(name string, value int) int {
		if v, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return v
		}
		return value
	}
	slots, batch := env("SYMBOLON_SEALED_SLOTS", BlockSlots), env("SYMBOLON_SEALED_BATCH", 1)
	symbols := env("SYMBOLON_SEALED_SYMBOLS", 4)
	for _, threshold := range []int{49, 33} {
		for _, form := range []Form{Fast, Compact} {
			p := Params{Groups: 64, Symbols: symbols, Threshold: threshold}
			b.Run(fmt.Sprintf("threshold=%d/%s", threshold, form), func(b *testing.B) {
				start := time.Now()
				f := newParty(b, p, form, slots)
				keys := time.Since(start)
				target := f.random()
				for i := range slots {
					f.put(b, i, f.like(target, i%65))
				}
				start = time.Now()
				f.flush(b)
				build := time.Since(start)
				start = time.Now()
				var encrypted []*EncryptedQuery
				var collectors []*Collector
				for i := range batch {
					q := f.query(b, uint64(i), target)
					e, err := f.keys.ReadQuery(q.Message())
					if err != nil {
						b.Fatal(err)
					}
					encrypted = append(encrypted, e)
					collectors = append(collectors, f.asker.Collect(q.ID()))
				}
				query := time.Since(start) / time.Duration(batch)
				var stages Stages
				var answers [][]byte
				var owners []int
				cpu := -processorTime(b)
				b.ResetTimer()
				for b.Loop() {
					answers, owners = answers[:0], owners[:0]
					err := f.index.Scan(context.Background(), encrypted, ScanOptions{Rand: crand.Reader, Stages: &stages}, func(q, _ int, msg []byte) error {
						answers, owners = append(answers, msg), append(owners, q)
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				cpu += processorTime(b)
				start = time.Now()
				bytes := 0
				for i, a := range answers {
					if err := collectors[owners[i]].Add(a); err != nil {
						b.Fatal(err)
					}
					bytes += len(a)
				}
				decrypt := time.Since(start) / time.Duration(batch)
				got, err := collectors[0].Slots()
				if err != nil || !slices.Equal(got, f.want(b, target)) {
					b.Errorf("wrong slots: %v", err)
				}
				per := func(d time.Duration) float64 { return float64(d) / 1e6 }
				b.ReportMetric(per(keys), "keys-ms")
				b.ReportMetric(per(build), "build-ms")
				b.ReportMetric(per(query), "query-ms")
				b.ReportMetric(per(decrypt), "decrypt-ms")
				b.ReportMetric(per(cpu)/float64(b.N), "cpu-ms/op")
				stages.Each(func(name string, ns int64) {
					b.ReportMetric(float64(ns)/1e6/float64(b.N), name+"-ms/op")
				})
				b.ReportMetric(float64(len(f.asker.Keys())), "keys-bytes")
				b.ReportMetric(float64(headerSize+f.asker.c.QuerySize()), "query-bytes")
				b.ReportMetric(float64(bytes/batch), "answer-bytes")
				b.ReportMetric(float64(f.index.Bytes()), "index-bytes")
			})
		}
	}
}

// processorTime is the process's CPU time so far.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
