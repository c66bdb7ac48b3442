package protocol

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/symbolon/symbolon/internal/records/sketch"
	"github.com/symbolon/symbolon/internal/store"
	"github.com/symbolon/symbolon/psi"
	"github.com/symbolon/symbolon/psi/sealed"
)

// Search is the clause of an agreement under which one agency may look for one
// person among the other's records by resemblance, under encryption.
type Search struct {
	// Sketch is the version of the sketches; Groups and Symbols are their shape.
	Sketch  string `json:"sketch"`
	Groups  int    `json:"groups"`
	Symbols int    `json:"symbols"`
	// Threshold is the least number of groups that must agree for a slot to open;
	// a search may ask for more.
	Threshold int `json:"threshold"`
	// EpochDays is the lifetime of the asker's keys and of the order of the
	// owner's slots.
	EpochDays int `json:"epoch_days"`
	// MaxSlots bounds the owner's index, a slot for each name form of a record.
	// Its size after padding by the agreement's rule, in whole blocks, is what
	// the asker sees.
	MaxSlots int64 `json:"max_slots"`
	// Evaluations is what a search counts as in the budget that all modes share.
	Evaluations       int64 `json:"evaluations"`
	SearchesPerMinute int64 `json:"searches_per_minute"`
	SearchesPerDay    int64 `json:"searches_per_day"`
	// Reveals is for how many of a search's handles the asker may ask for the
	// reference.
	Reveals int `json:"reveals"`
}

// DefaultSearch returns the clause that a new agreement starts from.
func DefaultSearch() *Search {
	p := sketch.Default()
	return &Search{Sketch: sketch.Version, Groups: p.Groups, Symbols: p.Symbols, Threshold: p.Threshold,
		EpochDays: 30, MaxSlots: 1 << 20, Evaluations: 64, SearchesPerMinute: 10, SearchesPerDay: 200, Reveals: 4}
}

// maxSearchSlots bounds an index: answers of 64 MiB.
const maxSearchSlots = 1 << 23

func (a *Agreement) validateSearch() error {
	if !a.Allows(psi.ModeSearch) {
		if a.Search != nil {
			return errors.New("search is given, but mode search is not allowed")
		}
		return nil
	}
	s := a.Search
	switch {
	case s == nil:
		return errors.New("mode search needs the clause search")
	case a.Approval != ApproveAuto:
		return fmt.Errorf("approval is %q, but searches are answered at once: want %q", a.Approval, ApproveAuto)
	case a.NotifyOnHit == NotifyRequired:
		return errors.New("notify_on_hit is required, but mode search tells the owner nothing")
	case s.Sketch != sketch.Version:
		return fmt.Errorf("search.sketch is %q, this release makes %q", s.Sketch, sketch.Version)
	}
	if err := s.shape().Validate(); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	if err := s.Params().Validate(); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	return checkRanges([]limit{
		{"search.epoch_days", int64(s.EpochDays), 1, 366},
		{"search.max_slots", s.MaxSlots, sealed.BlockSlots, maxSearchSlots},
		{"search.evaluations", s.Evaluations, 1, 1 << 20},
		{"search.searches_per_minute", s.SearchesPerMinute, 1, 1 << 20},
		{"search.searches_per_day", s.SearchesPerDay, 1, 1 << 30},
		{"search.reveals", int64(s.Reveals), 0, 1024},
		{"caps.items_per_day", a.Caps.ItemsPerDay, s.Evaluations, math.MaxInt64},
	})
}

func (s *Search) shape() sketch.Params {
	return sketch.Params{Groups: s.Groups, Symbols: s.Symbols, Threshold: s.Threshold}
}

// Params is the shape of a search as the circuit has it.
func (s *Search) Params() sealed.Params {
	return sealed.Params{Groups: s.Groups, Symbols: s.Symbols, Threshold: s.Threshold}
}

func (s *Search) epoch() time.Duration { return time.Duration(s.EpochDays) * 24 * time.Hour }

// searchLimits are the caps on the evaluations as which searches count.
func (a *Agreement) searchLimits() store.EvaluationLimits {
	s := a.Search
	return store.EvaluationLimits{PerMinute: s.SearchesPerMinute * s.Evaluations, PerDay: s.SearchesPerDay * s.Evaluations,
		ItemsPerDay: a.Caps.ItemsPerDay}
}

// limitsOf returns the caps on the evaluations of a mode.
func (a *Agreement) limitsOf(m psi.Mode) store.EvaluationLimits {
	if m == psi.ModeSearch {
		return a.searchLimits()
	}
	return a.evaluationLimits()
}

// capacity returns the size after padding of an index of so many slots.
func (a *Agreement) capacity(slots int) (int, error) {
	n, err := a.Padding.Size(int64(slots), a.Search.MaxSlots)
	if err != nil {
		return 0, err
	}
	blocks := max(1, (n+sealed.BlockSlots-1)/sealed.BlockSlots)
	return int(blocks * sealed.BlockSlots), nil
}

// maxBlocks is the most blocks that an honest owner's index has.
func (s *Search) maxBlocks() int {
	return int((s.MaxSlots + sealed.BlockSlots - 1) / sealed.BlockSlots)
}

// searchText explains the clause to a person.
func (a *Agreement) searchText(p *textWriter) {
	s := a.Search
	p.line("Searches", fmt.Sprintf("answered at once: %d a minute and %d a day, each counted as %d evaluations (%d items a day in all modes together)",
		s.SearchesPerMinute, s.SearchesPerDay, s.Evaluations, a.Caps.ItemsPerDay))
	p.line("Resemblance", fmt.Sprintf("a record opens if at least %d of %d groups of its sketch agree, and then as a handle: no score, no name", s.Threshold, s.Groups))
	p.line("Index", fmt.Sprintf("at most %d slots, one for each name form of a record; the asker learns the size in blocks of %d, padded as set sizes are. Keys and handles live for %d days",
		s.MaxSlots, sealed.BlockSlots, s.EpochDays))
	reveals := "no handle's reference is given"
	if s.Reveals > 0 {
		reveals = fmt.Sprintf("for up to %d handles of a search the asker may ask for the case reference; by that the one asked learns of the hit", s.Reveals)
	}
	p.line("Handles", reveals)
}

// searchWarnings says what quotas are for.
func (a *Agreement) searchWarnings() []string {
	s := a.Search
	if s == nil {
		return nil
	}
	out := []string{fmt.Sprintf("each search tells the asker one bit of every record, so whoever may search often can close in on one: %d searches a day are allowed.", s.SearchesPerDay)}
	if s.Threshold < sketch.Default().Threshold {
		out = append(out, fmt.Sprintf("search.threshold %d is below the default of %d: more different people will open.", s.Threshold, sketch.Default().Threshold))
	}
	return out
}
