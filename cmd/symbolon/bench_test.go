package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/symbolon/symbolon/bench"
)

// TestBenchFields fixes the names that programs read.
func TestBenchFields(t *testing.T) {
	t.Parallel()
	for _, engine := range bench.Engines() {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), []string{"bench", "psi", "--engine", engine, "--n", "30", "--json"}, nil, &stdout, &stderr)
		if code != 0 {
			t.Fatalf("%s: exit code %d: %s", engine, code, &stderr)
		}
		var got map[string]any
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for _, want := range strings.Fields(`engine security n_sender n_receiver overlap hits correct wall_s cpu_s bytes_to_sender
			bytes_to_receiver peak_rss_bytes workers transport cpu go commit`) {
			if _, ok := got[want]; !ok {
				t.Errorf("%s: no field %q among %q", engine, want, slices.Sorted(maps.Keys(got)))
			}
		}
		if got["correct"] != true || got["hits"] != 15.0 || got["engine"] != engine {
			t.Errorf("%s: got %s", engine, &stdout)
		}
	}
}

func TestBenchWrongResult(t *testing.T) {
	t.Parallel()
	r := &bench.PSIReport{Engine: "dh", Hits: 3}
	if err := checkBench(r); err == nil || exitCode(err) != exitFailed {
		t.Errorf("a wrong result gives %v", err)
	}
	var text strings.Builder
	writeBench(&text, r)
	if !strings.Contains(text.String(), "WRONG") {
		t.Errorf("a wrong result shows as:\n%s", &text)
	}
	r.Correct = true
	if err := checkBench(r); err != nil {
		t.Error(err)
	}
}
