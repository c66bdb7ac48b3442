package lookup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/symbolon/symbolon/psi"
)

// benchItem is a random item; the benchmarks' VOPRF doubles it.
func benchItem(i int) Item { return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))) }

func benchEvaluate(_ context.Context, dst [][OutputSize]byte, items []Item) error {
	for i := range items {
		copy(dst[i][:], items[i][:])
		copy(dst[i][32:], items[i][:])
	}
	return nil
}

func benchSeed(p *Params, i int) Seed {
	item := benchItem(i)
	return p.Seed(append(item[:], item[:]...))
}

// benchInput holds the items from lo to hi, keysEach to a record.
func benchInput(lo, hi, keysEach int) Input {
	return Input{
		Items: func(yield func(Item, []uint32) error) error {
			for i := lo; i < hi; i++ {
				if err := yield(benchItem(i), []uint32{uint32((i - lo) / keysEach)}); err != nil {
					return err
				}
			}
			return nil
		},
		Count:   hi - lo,
		Records: (hi-lo)/keysEach + 1,
		Record: func(n int) (string, Label, error) {
			return fmt.Sprint(lo/keysEach + n), Label{Reference: fmt.Sprint("case ", lo/keysEach+n)}, nil
		},
	}
}

func benchRand() io.Reader { return psi.NewStream(bytes.Repeat([]byte{6}, 32), "bench") }

func benchPublish(b testing.TB, dir string, p Params, in Input) *Staged {
	b.Helper()
	pub, err := OpenPublisher(dir, p, testSecret, Options{Rand: benchRand()})
	if err != nil {
		b.Fatal(err)
	}
	defer pub.Close()
	s, err := pub.Stage(context.Background(), in, benchEvaluate, testTerms())
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Commit(nil); err != nil {
		b.Fatal(err)
	}
	return s
}

// peakRSS returns the process's largest resident memory in MiB, where it is told.
func peakRSS() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	kib := 0.0
	fmt.Sscan(string(rest), &kib)
	return kib / 1024
}

// BenchmarkMillion publishes a million keys, with a hash for the VOPRF, then
// 10,000 that go and 10,000 that come, and tests the filter.
func BenchmarkMillion(b *testing.B) {
	const n, changed = 1_000_000, 10_000
	for name, p := range modes() {
		dir := b.TempDir()
		serial := 0
		b.Run(name+"/build", func(b *testing.B) {
			for range b.N {
				if err := os.RemoveAll(dir); err != nil {
					b.Fatal(err)
				}
				s := benchPublish(b, dir, p, benchInput(0, n, 8))
				b.ReportMetric(float64(s.Manifest.Filter.Bytes)/n, "bytes/key")
			}
			serial = 1
			b.ReportMetric(peakRSS(), "MiB-peak")
		})
		b.Run(name+"/delta", func(b *testing.B) {
			for range b.N {
				s := benchPublish(b, dir, p, benchInput(serial*changed, n+serial*changed, 8))
				serial++
				if s.Stats.Added != changed || s.Stats.Removed != changed {
					b.Fatalf("%+v", s.Stats)
				}
				if d := s.Manifest.Deltas; len(d) > 0 {
					b.ReportMetric(float64(d[len(d)-1].Bytes), "bytes")
				}
			}
			b.ReportMetric(peakRSS(), "MiB-peak")
		})
		var f *Filter
		b.Run(name+"/open", func(b *testing.B) {
			for range b.N {
				_, m, err := newest(dir)
				if err != nil {
					b.Fatal(err)
				}
				if f != nil {
					f.Close()
				}
				if f, err = OpenFilter(fileOf(dir, namedFilter, m.Serial), m); err != nil {
					b.Fatal(err)
				}
			}
		})
		seeds := make([]Seed, 1<<12)
		for i := range seeds {
			seeds[i] = benchSeed(&p, n/2+i)
		}
		b.Run(name+"/test", func(b *testing.B) {
			for i := range b.N {
				if _, ok, err := f.Test(seeds[i%len(seeds)]); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
		b.Run(name+"/miss", func(b *testing.B) {
			for i := range b.N {
				f.Has(Seed{byte(i), byte(i >> 8), byte(i >> 16)})
			}
		})
		if f != nil {
			f.Close()
		}
	}
}
