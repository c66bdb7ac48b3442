package protocol

import (
	"strings"
	"testing"

	"github.com/symbolon/symbolon/psi"
)

// lookups makes an agreement one of lookups alone, on no schedule.
func lookups(a *Agreement) {
	a.Modes, a.CardinalityRule = []psi.Mode{psi.ModeLookup}, ""
	a.Lookup = DefaultLookup()
	a.Lookup.DeltaHours = 0
	a.Labels = &Labels{Bytes: 200, Slots: 2}
	a.Caps.ItemsPerDay = 1 << 20
}

// TestLookupClause lists what an agreement on lookups may not say.
func TestLookupClause(t *testing.T) {
	must(t, draft(t, lookups).Validate())
	must(t, draft(t, func(a *Agreement) { lookups(a); a.Engine, a.Security = "", "" }).Validate())
	must(t, draft(t, func(a *Agreement) {
		lookups(a)
		a.Modes = []psi.Mode{psi.ModeMutual, psi.ModeLookup}
	}).Validate())
	for name, change := range map[string]func(*Agreement){
		"no clause":                 func(a *Agreement) { a.Lookup = nil },
		"a clause without the mode": func(a *Agreement) { a.Modes = []psi.Mode{psi.ModeMutual} },
		"approval":                  func(a *Agreement) { a.Approval = ApproveOne },
		"the owner told":            func(a *Agreement) { a.NotifyOnHit = NotifyRequired },
		"labels too long":           func(a *Agreement) { a.Labels.Bytes = 257 },
		"no epoch":                  func(a *Agreement) { a.Lookup.EpochDays = 0 },
		"an epoch for ever":         func(a *Agreement) { a.Lookup.EpochDays = 367 },
		"an overlap over an epoch":  func(a *Agreement) { a.Lookup.OverlapHours = 30*24 + 1 },
		"a negative schedule":       func(a *Agreement) { a.Lookup.DeltaHours = -1 },
		"no evaluation":             func(a *Agreement) { a.Lookup.Evaluations = 0 },
		"too little a minute":       func(a *Agreement) { a.Lookup.EvaluationsPerMinute = 7 },
		"too little a day":          func(a *Agreement) { a.Lookup.EvaluationsPerDay = 7 },
		"too many false positives":  func(a *Agreement) { a.Lookup.FalsePositiveLog2 = 19 },
		"an unknown engine":         func(a *Agreement) { a.Engine = "none" },
		"an engine half":            func(a *Agreement) { a.Engine = "" },
	} {
		if err := draft(t, func(a *Agreement) { lookups(a); change(a) }).Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLookupClauseLeavesOthersAlone(t *testing.T) {
	raw, err := draft(t, nil).Bytes()
	must(t, err)
	if strings.Contains(string(raw), "lookup") {
		t.Error("an agreement without the clause mentions it, so its id has changed")
	}
}

func TestLookupClauseText(t *testing.T) {
	var b strings.Builder
	a := draft(t, lookups)
	must(t, a.WriteText(&b))
	for _, want := range []string{"either party may ask the other", "subscription until the epoch ends", "960 a minute",
		"30 days", "72 hours", "By lookups: Trying every value takes", "2^-40"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "Engine") {
		t.Error("an engine is named, but no mode runs one")
	}
	b.Reset()
	a.Learns = a.Parties[1].Identity
	must(t, a.WriteText(&b))
	if want := a.Parties[1].Name + " may ask " + a.Parties[0].Name; !strings.Contains(b.String(), want) {
		t.Errorf("the text lacks %q", want)
	}
}
