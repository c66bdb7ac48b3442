package protocol

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/psi"
)

// Lookup is the clause of an agreement under which one agency may look up single
// people in the other's filter, by an OPRF under a key that lives for an epoch.
type Lookup struct {
	// EpochDays is the lifetime of a key; the one before goes on answering for
	// OverlapHours. DeltaHours is the schedule on which changed records enter the
	// filter, 0 for whenever.
	EpochDays    int `json:"epoch_days"`
	OverlapHours int `json:"overlap_hours"`
	DeltaHours   int `json:"delta_hours"`
	// Evaluations is what a request is padded to: a multiple of it.
	Evaluations int `json:"evaluations"`
	// Evaluations, after padding, that the owner answers.
	EvaluationsPerMinute int64 `json:"evaluations_per_minute"`
	EvaluationsPerDay    int64 `json:"evaluations_per_day"`
	// FalsePositiveLog2 is k where at most 2^-k of the queries find somebody who
	// is not there, over all keys of a record.
	FalsePositiveLog2 int `json:"false_positive_log2"`
}

// DefaultLookup returns the clause that a new agreement starts from.
func DefaultLookup() *Lookup {
	return &Lookup{EpochDays: 30, OverlapHours: 72, DeltaHours: 24, Evaluations: 8,
		EvaluationsPerMinute: 960, EvaluationsPerDay: 80_000, FalsePositiveLog2: 40}
}

// maxLookupLabel is the longest label of a lookup in bytes.
const maxLookupLabel = 256

// immediate are the modes that are answered at once, without a session.
var immediate = []psi.Mode{psi.ModeLookup, psi.ModeSearch}

// SessionModes returns the modes of the agreement that run as sessions.
func (a *Agreement) SessionModes() []psi.Mode {
	return slices.DeleteFunc(slices.Clone(a.Modes), func(m psi.Mode) bool { return slices.Contains(immediate, m) })
}

// Allows reports whether the agreement has the mode.
func (a *Agreement) Allows(m psi.Mode) bool { return slices.Contains(a.Modes, m) }

// MayAsk reports whether a party may look up the other's records.
func (a *Agreement) MayAsk(p Party) bool { return a.RoleOf(p, true) == psi.RoleReceiver }

func (a *Agreement) validateLookup() error {
	if !a.Allows(psi.ModeLookup) {
		if a.Lookup != nil {
			return errors.New("lookup is given, but mode lookup is not allowed")
		}
		return nil
	}
	l := a.Lookup
	switch {
	case l == nil:
		return errors.New("mode lookup needs the clause lookup")
	case a.Approval != ApproveAuto:
		return fmt.Errorf("approval is %q, but lookups are answered at once: want %q", a.Approval, ApproveAuto)
	case a.NotifyOnHit == NotifyRequired:
		return errors.New("notify_on_hit is required, but mode lookup tells the owner nothing")
	case a.Labels != nil && a.Labels.Bytes > maxLookupLabel:
		return fmt.Errorf("labels.bytes is %d, at most %d with mode lookup", a.Labels.Bytes, maxLookupLabel)
	}
	return checkRanges([]limit{
		{"lookup.epoch_days", int64(l.EpochDays), 1, 366},
		{"lookup.overlap_hours", int64(l.OverlapHours), 0, int64(l.EpochDays) * 24},
		{"lookup.delta_hours", int64(l.DeltaHours), 0, int64(l.EpochDays) * 24},
		{"lookup.evaluations", int64(l.Evaluations), 1, 64},
		{"lookup.evaluations_per_minute", l.EvaluationsPerMinute, int64(l.Evaluations), math.MaxInt32},
		{"lookup.evaluations_per_day", l.EvaluationsPerDay, int64(l.Evaluations), math.MaxInt32 << 8},
		{"lookup.false_positive_log2", int64(l.FalsePositiveLog2), 20, 64},
	})
}

// padded returns a number of evaluations after padding.
func (l *Lookup) padded(n int) int {
	return (n + l.Evaluations - 1) / l.Evaluations * l.Evaluations
}

func (l *Lookup) epoch() time.Duration   { return time.Duration(l.EpochDays) * 24 * time.Hour }
func (l *Lookup) overlap() time.Duration { return time.Duration(l.OverlapHours) * time.Hour }
func (l *Lookup) every() time.Duration   { return time.Duration(l.DeltaHours) * time.Hour }

// evaluationLimits are the caps on what a peer may have evaluated.
func (a *Agreement) evaluationLimits() store.EvaluationLimits {
	return store.EvaluationLimits{PerMinute: a.Lookup.EvaluationsPerMinute, PerDay: a.Lookup.EvaluationsPerDay, ItemsPerDay: a.Caps.ItemsPerDay}
}

// lookupText explains the clause to a person.
func (a *Agreement) lookupText(p *textWriter) {
	l := a.Lookup
	p.line("Lookups", fmt.Sprintf("answered at once, in evaluations padded to a multiple of %d: %d a minute and %d a day (%d items a day in all modes together)",
		l.Evaluations, l.EvaluationsPerMinute, l.EvaluationsPerDay, a.Caps.ItemsPerDay))
	changes := "whenever the owner publishes"
	if l.DeltaHours > 0 {
		changes = fmt.Sprintf("every %d hours", l.DeltaHours)
	}
	p.line("Filter", fmt.Sprintf("a key lives for %d days and answers for %d hours more; changed records enter %s; a lookup is wrongly a hit with probability 2^-%d",
		l.EpochDays, l.OverlapHours, changes, l.FalsePositiveLog2))
	p.line("Subscription", fmt.Sprintf("one evaluation is a subscription until the epoch ends: with it the asker can test every later version of that epoch's filter at home. A withdrawn person is gone for good when the epoch ends, at most %d days and %d hours later",
		l.EpochDays, l.OverlapHours))
}

// asksText says who may look up whom.
func (a *Agreement) asksText() string {
	if a.Learns == LearnsProposer {
		return "either party may ask the other"
	}
	for i, p := range a.Parties {
		if p.Identity == a.Learns {
			return fmt.Sprintf("%s may ask %s", p.Name, a.Parties[1-i].Name)
		}
	}
	return a.Learns
}
