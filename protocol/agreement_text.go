package protocol

import (
	"fmt"
	"io"
	"math"

	"github.com/symbolon/symbolon/psi"
)

// WriteText explains the agreement to a person: what it allows, what it costs
// in privacy and what protects it.
func (a *Agreement) WriteText(w io.Writer) error {
	p := &textWriter{w: w}
	p.line("Agreement", a.Hex())
	if a.Title != "" {
		p.line("Title", a.Title)
	}
	for i, party := range a.Parties {
		p.line(fmt.Sprintf("Party %d", i+1), fmt.Sprintf("%s (%.16s…)", party.Name, party.Identity))
	}
	p.line("Purpose", a.Purpose)
	p.line("Legal basis", a.LegalBasis)
	p.line("Compartment", a.Compartment)
	p.line("Valid", a.ValidFrom+" until "+a.ValidUntil)
	if len(a.SessionModes()) > 0 {
		p.line("Who learns", a.learnsText())
	}
	for _, m := range a.Modes {
		p.line("Mode", a.modeText(m))
	}
	p.line("Approval", map[Approval]string{
		ApproveAuto: "auto: no operator needs to confirm a session",
		ApproveOne:  "one operator on each side (the proposing user on its own)",
		ApproveTwo:  "two operators on each side, the proposing user not among them",
	}[a.Approval])
	p.line("Retention", fmt.Sprintf("results and log entries for %d days", a.RetentionDays))
	if a.Labels != nil {
		p.line("Labels", fmt.Sprintf("a hit opens the sender's reference, at most %d bytes, for up to %d records a key", a.Labels.Bytes, a.Labels.Slots))
	}
	if len(a.SessionModes()) > 0 {
		a.sessionText(p)
	}
	if a.Caps.MinRecords > 0 {
		p.line("Smallest set", fmt.Sprintf("%d records (self-declared: each node checks its own data)", a.Caps.MinRecords))
	}
	if a.Lookup != nil {
		a.lookupText(p)
	}
	if a.Search != nil {
		a.searchText(p)
	}
	p.raw("\nRules (%s, %s; at most %d keys a record)\n", a.Rules.Name, a.Normalisation, a.Rules.MaxKeysPerRecord)
	for i := range a.Rules.Rules {
		r := &a.Rules.Rules[i]
		p.raw("  %s: %s\n", r.ID, r.Sentence())
		if len(a.SessionModes()) > 0 {
			p.raw("    %s under these caps.\n", enumeration(r.EnumerationDays(a.Caps.ItemsPerDay)))
		}
		if a.Lookup != nil {
			p.raw("    By lookups: %s.\n", enumeration(r.EnumerationDays(a.lookupsPerDay())))
		}
	}
	a.warnings(p)
	return p.err
}

// sessionText explains what holds for sessions alone.
func (a *Agreement) sessionText(p *textWriter) {
	p.line("Set sizes", map[Padding]string{
		PadExact: "exact: each side learns how many match keys the other has",
		PadPow2:  "padded to a power of two, at most the cap",
		PadCap:   "always padded to the cap",
	}[a.Padding])
	p.line("Caps", fmt.Sprintf("%d items a session and %d a day after padding, %d sessions a day (enforced by both nodes; one budget for all of a peer's modes)",
		a.Caps.ItemsPerSession, a.Caps.ItemsPerDay, a.Caps.SessionsPerDay))
	p.line("Engine", fmt.Sprintf("%s, %s", a.Engine, a.Security))
	if a.ShardItems > 0 {
		p.line("Shards", fmt.Sprintf("about %d items at a time; a cut session goes on after the last one finished", a.ShardItems))
	}
}

// TriesPerDay is how many values a peer may try under the caps in a day, in all
// modes together.
func (a *Agreement) TriesPerDay() int64 {
	if len(a.SessionModes()) > 0 || a.Lookup == nil {
		return a.Caps.ItemsPerDay
	}
	return a.lookupsPerDay()
}

// lookupsPerDay is how many values a peer may look up in a day.
func (a *Agreement) lookupsPerDay() int64 { return min(a.Lookup.EvaluationsPerDay, a.Caps.ItemsPerDay) }

func (a *Agreement) learnsText() string {
	if a.Learns == LearnsProposer {
		return "whoever proposes the session"
	}
	for _, p := range a.Parties {
		if p.Identity == a.Learns {
			return p.Name
		}
	}
	return a.Learns
}

func (a *Agreement) modeText(m psi.Mode) string {
	switch m {
	case psi.ModeIntersection:
		return "intersection: the receiver learns which of its records the sender also knows; the sender learns nothing"
	case psi.ModeMutual:
		return "mutual: the receiver learns which of its records the sender also knows, and the sender which of its own were hit"
	case psi.ModeSearch:
		return fmt.Sprintf("search: %s for people who resemble one person, under encryption, and learns which slots do; the one asked learns that, when and how often it was asked, not about whom nor with what outcome", a.asksText())
	case psi.ModeLookup:
		return fmt.Sprintf("lookup: %s about single people, and learns hit or no hit; the one asked learns that, when and how often it was asked, not about whom nor with what outcome", a.asksText())
	}
	return fmt.Sprintf("cardinality: the receiver learns how many match keys of rule %q are shared, not which", a.CardinalityRule)
}

// enumeration puts a number of days in words.
func enumeration(days float64) string {
	var span string
	switch {
	case math.IsInf(days, 1):
		span = "forever"
	case days < 1:
		span = "less than a day"
	case days < 2*365:
		span = fmt.Sprintf("about %.0f days", days)
	default:
		span = fmt.Sprintf("about %.3g days (%.2g years)", days, days/365.25)
	}
	return "Trying every value takes " + span
}

// weakDays is the enumeration time below which a rule deserves a warning.
const weakDays = 365

func (a *Agreement) warnings(p *textWriter) {
	var lines []string
	if a.Security == psi.SemiHonest && len(a.SessionModes()) > 0 {
		lines = append(lines, "security: semi-honest. The engine protects against a peer that follows the protocol but is curious. A peer that deviates can learn more: a cardinality, for one, can be split into the counts of parts of its set.")
	}
	for i := range a.Rules.Rules {
		r := &a.Rules.Rules[i]
		if days := r.EnumerationDays(a.Caps.ItemsPerDay); days < weakDays && len(a.SessionModes()) > 0 {
			lines = append(lines, fmt.Sprintf("rule %q: a peer could try every value within %.0f days. Lower items_per_day or add a field.", r.ID, math.Ceil(days)))
		} else if a.Lookup != nil {
			if days := r.EnumerationDays(a.lookupsPerDay()); days < weakDays {
				lines = append(lines, fmt.Sprintf("rule %q: a peer could look up every value within %.0f days. Lower evaluations_per_day or add a field.", r.ID, math.Ceil(days)))
			}
		}
		if r.Weak() {
			lines = append(lines, fmt.Sprintf("rule %q is weak: different people will share its keys, and each such pair is disclosed like a hit.", r.ID))
		}
	}
	lines = append(lines, a.searchWarnings()...)
	if a.Padding == PadExact && len(a.SessionModes()) > 0 {
		lines = append(lines, "padding exact tells the peer the size of the set, and its growth from session to session.")
	}
	if len(lines) == 0 {
		return
	}
	p.raw("\nWarnings\n")
	for _, l := range lines {
		p.raw("  ! %s\n", l)
	}
}

// textWriter keeps the first error.
type textWriter struct {
	w   io.Writer
	err error
}

func (t *textWriter) raw(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

func (t *textWriter) line(name, value string) {
	t.raw("%-13s %s\n", name, value)
}
