package bench

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLookup runs both parties in this process, with and without labels.
func TestLookup(t *testing.T) {
	t.Parallel()
	for _, label := range []int{0, 32} {
		t.Run(fmt.Sprint(label), func(t *testing.T) {
			t.Parallel()
			var stages []string
			r, err := Lookup(t.Context(), LookupConfig{Records: 400, Keys: 3, Queries: 12, Clients: 3, Sustained: 100 * time.Millisecond,
				Rate: 200, Changed: 4, LabelBytes: label, Progress: func(s string) { stages = append(stages, s) }})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Correct || r.Wrong != 0 {
				t.Errorf("%d answers are wrong", r.Wrong)
			}
			if r.Keys != 1200 || r.ChangedKeys != 12 || r.Processes != 1 || len(stages) < 6 {
				t.Errorf("got %+v after %q", r, stages)
			}
			if r.FilterBytes <= 0 || r.DeltaBytes <= 0 || r.DeltaCPU <= 0 || r.P50 <= 0 || r.P99 < r.P50 || r.BytesUp <= 0 || r.BytesDown <= 0 || r.PerSecond <= 0 {
				t.Errorf("something was not measured: %+v", r)
			}
			if r.FalsePositive > -40 {
				t.Errorf("a query is wrongly a hit with probability 2^%v", r.FalsePositive)
			}
		})
	}
}

func TestLookupConfig(t *testing.T) {
	t.Parallel()
	good := LookupConfig{Records: 10, Keys: 1, Queries: 1, Clients: 1, Changed: 1}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*LookupConfig){
		"records":         func(c *LookupConfig) { c.Records = 1 },
		"keys":            func(c *LookupConfig) { c.Keys = 65 },
		"queries":         func(c *LookupConfig) { c.Queries = 0 },
		"clients":         func(c *LookupConfig) { c.Clients = -1 },
		"rate":            func(c *LookupConfig) { c.Rate = -1 },
		"changed records": func(c *LookupConfig) { c.Changed = 11 },
		"label bytes":     func(c *LookupConfig) { c.LabelBytes = 257 },
		"sustained":       func(c *LookupConfig) { c.Sustained = -1 },
	} {
		c := good
		change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A wrong answer is counted, whoever is missing, unknown or got another hit.
func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	want := map[string][]string{"a": {"1"}, "b": {}, "c": {"2", "3"}}
	for _, row := range []struct {
		got                   map[string][]string
		wrong, unansweredWant int
	}{
		{map[string][]string{"a": {"1"}, "b": {}, "c": {"2", "3"}}, 0, 0},
		{map[string][]string{"a": {}, "b": {}, "c": {"2", "3"}}, 1, 0},
		{map[string][]string{"a": {"1"}, "b": {"1"}, "c": {"2"}}, 2, 0},
		{map[string][]string{"a": {"1"}}, 0, 2},
		{map[string][]string{"a": {"1"}, "d": {}}, 1, 1},
	} {
		if w, u := wrongAnswers(row.got, want), unanswered(row.got, want); w != row.wrong || u != row.unansweredWant {
			t.Errorf("%v: %d wrong, %d unanswered", row.got, w, u)
		}
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	values := []float64{5, 1, 4, 2, 3}
	for p, want := range map[float64]float64{0: 1, 20: 1, 50: 3, 99: 5, 100: 5} {
		if got := percentile(slices.Clone(values), p); got != want {
			t.Errorf("percentile %v is %v, want %v", p, got, want)
		}
	}
	if got := percentile(nil, 50); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

// A party says what it does not understand, and ends when its input does.
func TestLookupPartyRefuses(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := LookupParty(t.Context(), strings.NewReader(`{"do":"nonsense"}`+"\n"+`{"do":"enter","text":"/nowhere"}`), &out); err != nil {
		t.Fatal(err)
	}
	replies := json.NewDecoder(strings.NewReader(out.String()))
	for range 2 {
		var r lookupReply
		if err := replies.Decode(&r); err != nil || r.Error == "" {
			t.Errorf("got %+v, %v", r, err)
		}
	}
	if err := LookupParty(t.Context(), strings.NewReader("{"), &out); err == nil {
		t.Error("half a call was taken")
	}
}
