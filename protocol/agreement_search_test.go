package protocol

import (
	"strings"
	"testing"

	"github.com/symbolon/symbolon/psi"
)

// searching makes an agreement one of sealed searches alone.
func searching(a *Agreement) {
	a.Modes, a.CardinalityRule = []psi.Mode{psi.ModeSearch}, ""
	a.Search = DefaultSearch()
	a.Labels = nil
	a.Caps.ItemsPerDay = 1 << 20
}

// TestSearchClause lists what an agreement on searches may not say.
func TestSearchClause(t *testing.T) {
	must(t, draft(t, searching).Validate())
	must(t, draft(t, func(a *Agreement) {
		searching(a)
		a.Modes, a.Lookup = []psi.Mode{psi.ModeMutual, psi.ModeLookup, psi.ModeSearch}, DefaultLookup()
	}).Validate())
	for name, change := range map[string]func(*Agreement){
		"no clause":                    func(a *Agreement) { a.Search = nil },
		"a clause without the mode":    func(a *Agreement) { a.Modes = []psi.Mode{psi.ModeMutual} },
		"approval":                     func(a *Agreement) { a.Approval = ApproveOne },
		"the owner told":               func(a *Agreement) { a.NotifyOnHit = NotifyRequired },
		"another version of sketches":  func(a *Agreement) { a.Search.Sketch = "0" },
		"groups":                       func(a *Agreement) { a.Search.Groups = 63 },
		"symbols":                      func(a *Agreement) { a.Search.Symbols = 3 },
		"a threshold above the groups": func(a *Agreement) { a.Search.Threshold = a.Search.Groups + 1 },
		"a threshold out of reach":     func(a *Agreement) { a.Search.Threshold = 1 },
		"no epoch":                     func(a *Agreement) { a.Search.EpochDays = 0 },
		"less than a block":            func(a *Agreement) { a.Search.MaxSlots = 100 },
		"too many slots":               func(a *Agreement) { a.Search.MaxSlots = maxSearchSlots + 1 },
		"a search for nothing":         func(a *Agreement) { a.Search.Evaluations = 0 },
		"no search a minute":           func(a *Agreement) { a.Search.SearchesPerMinute = 0 },
		"no search a day":              func(a *Agreement) { a.Search.SearchesPerDay = 0 },
		"reveals":                      func(a *Agreement) { a.Search.Reveals = -1 },
		"a search above the day's cap": func(a *Agreement) { a.Caps.ItemsPerDay, a.Search.Evaluations = 1024, 1025 },
	} {
		if err := draft(t, func(a *Agreement) { searching(a); change(a) }).Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	raw, err := draft(t, nil).Bytes()
	must(t, err)
	if strings.Contains(string(raw), "search") {
		t.Error("an agreement without the clause mentions it, so its id has changed")
	}
}

func TestSearchClauseText(t *testing.T) {
	var b strings.Builder
	must(t, draft(t, searching).WriteText(&b))
	for _, want := range []string{"either party may ask the other for people who resemble", "under encryption", "10 a minute and 200 a day",
		"at least 49 of 64 groups", "blocks of 16384", "one bit of every record", "learns of the hit"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "Engine") {
		t.Error("an engine is named, but no mode runs one")
	}
}

func TestSearchCapacity(t *testing.T) {
	for _, tt := range []struct {
		padding Padding
		slots   int
		want    int
	}{
		{PadExact, 0, 16384}, {PadExact, 16385, 2 * 16384}, {PadExact, 40_000, 3 * 16384},
		{PadPow2, 40_000, 4 * 16384}, {PadPow2, 100, 16384}, {PadCap, 100, 100_000/16384*16384 + 16384},
	} {
		a := draft(t, func(a *Agreement) { searching(a); a.Padding, a.Search.MaxSlots = tt.padding, 100_000 })
		if got, err := a.capacity(tt.slots); err != nil || got != tt.want {
			t.Errorf("%s of %d slots: %d, %v, want %d", tt.padding, tt.slots, got, err, tt.want)
		}
		if _, err := a.capacity(100_001); err == nil {
			t.Error("more slots than the agreement allows were accepted")
		}
	}
}
