package records

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// SweepPoint is what remains of an evaluation if only hits of at least so many
// bits are taken.
type SweepPoint struct {
	Bits           float64 `json:"bits"`
	Recall         float64 `json:"recall"`
	Precision      float64 `json:"precision"`
	TruePositives  int     `json:"true_positives"`
	FalsePositives int     `json:"false_positives"`
}

// Sweep returns the evaluation at each threshold of the score, from all hits
// to the best ones.
func (e *Evaluation) Sweep() []SweepPoint {
	pairs := slices.Clone(e.Found)
	slices.SortFunc(pairs, func(x, y FoundPair) int { return cmp.Compare(x.Bits, y.Bits) })
	tp, fp := e.TruePositives, e.FalsePositives
	var out []SweepPoint
	for i, f := range pairs {
		if i == 0 || f.Bits > pairs[i-1].Bits {
			out = append(out, SweepPoint{
				Bits: f.Bits, Recall: ratio(tp, e.Truth), Precision: ratio(tp, tp+fp), TruePositives: tp, FalsePositives: fp,
			})
		}
		switch f.Verdict {
		case VerdictTrue:
			tp--
		case VerdictFalse:
			fp--
		}
	}
	return out
}

// Plot geometry in pixels.
const (
	plotWidth, plotHeight = 640, 400
	plotMargin            = 48
)

// WriteSweepSVG draws recall and precision against the threshold.
func WriteSweepSVG(w io.Writer, set string, points []SweepPoint) error {
	most := 1.0
	for _, p := range points {
		most = max(most, p.Bits)
	}
	x := func(bits float64) float64 { return plotMargin + bits/most*(plotWidth-2*plotMargin) }
	y := func(share float64) float64 { return plotHeight - plotMargin - share*(plotHeight-2*plotMargin) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<title>Recall and precision of the rule set %s by threshold</title>`+"\n", escapeXML(set))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	for i := range 6 {
		share := float64(i) / 5
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.1f</text>`+"\n",
			plotMargin, y(share), plotWidth-plotMargin, y(share), plotMargin-6, y(share)+4, share)
		bits := share * most
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+"\n", x(bits), plotHeight-plotMargin+18, bits)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">threshold in bits</text>`+"\n", plotWidth/2, plotHeight-10)
	for _, line := range []struct {
		name, colour string
		at           int
		share        func(SweepPoint) float64
	}{
		{"recall", "#1f5fa8", 0, func(p SweepPoint) float64 { return p.Recall }},
		{"precision", "#b5482a", 1, func(p SweepPoint) float64 { return p.Precision }},
	} {
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, line.colour)
		for _, p := range points {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(p.Bits), y(line.share(p)))
		}
		fmt.Fprintf(&b, `"/><text x="%d" y="%d" fill="%s">%s</text>`+"\n", plotMargin+10+90*line.at, plotMargin-14, line.colour, line.name)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func escapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// OneToOne keeps the best pair of each record on both sides: pairs are taken
// from the highest score down, and a record that is taken takes no other. Of
// pairs with equal scores that share a record none is taken, for chance would
// choose; ties counts them.
func OneToOne(found []FoundPair) (kept []FoundPair, ties int) {
	order := slices.Clone(found)
	slices.SortStableFunc(order, func(x, y FoundPair) int { return cmp.Compare(y.Bits, x.Bits) })
	usedA, usedB := map[uint32]bool{}, map[uint32]bool{}
	for len(order) > 0 {
		n := 1
		for n < len(order) && order[n].Bits == order[0].Bits {
			n++
		}
		level := slices.DeleteFunc(slices.Clone(order[:n]), func(f FoundPair) bool { return usedA[f.A] || usedB[f.B] })
		order = order[n:]
		countA, countB := map[uint32]int{}, map[uint32]int{}
		for _, f := range level {
			countA[f.A]++
			countB[f.B]++
		}
		for _, f := range level {
			usedA[f.A], usedB[f.B] = true, true
			if countA[f.A] > 1 || countB[f.B] > 1 {
				ties++
				continue
			}
			kept = append(kept, f)
		}
	}
	slices.SortFunc(kept, func(x, y FoundPair) int { return cmp.Or(cmp.Compare(x.A, y.A), cmp.Compare(x.B, y.B)) })
	return kept, ties
}
