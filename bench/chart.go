package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// The chart is one panel for each measure, two a row; both axes are
// logarithmic.
const (
	panelWidth, panelHeight = 460, 300
	marginLeft, marginTop   = 70, 40
	marginRight, marginEnd  = 20, 45
	legendHeight            = 30
)

// colours tell the engines apart, also for most colour-blind readers.
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"}

// WriteSVG draws the runs as a chart.
func WriteSVG(w io.Writer, runs []*PSIReport) error {
	var engines []string
	for _, r := range runs {
		if !slices.Contains(engines, r.Engine) {
			engines = append(engines, r.Engine)
		}
	}
	rows := (len(measures) + 1) / 2
	width, height := 2*panelWidth, legendHeight+rows*panelHeight
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`, width, height)
	for i, e := range engines {
		x := marginLeft + 150*i
		fmt.Fprintf(&b, `<line x1="%d" y1="18" x2="%d" y2="18" stroke="%s" stroke-width="2"/>`, x, x+25, colours[i%len(colours)])
		fmt.Fprintf(&b, `<text x="%d" y="22">%s</text>`, x+32, html.EscapeString(e))
	}
	for i, m := range measures {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`, i%2*panelWidth, legendHeight+i/2*panelHeight)
		drawPanel(&b, m, engines, runs)
		b.WriteString(`</g>`)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// axis maps the logarithms of values to pixels.
type axis struct{ lo, hi, from, to float64 }

func (a axis) at(v float64) float64 {
	return a.from + (math.Log10(v)-a.lo)/(a.hi-a.lo)*(a.to-a.from)
}

// newAxis spans whole powers of the base, and at least one.
func newAxis(values []float64, base, from, to float64) axis {
	step := math.Log10(base)
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		lo, hi = min(lo, math.Log10(v)), max(hi, math.Log10(v))
	}
	if len(values) == 0 {
		lo, hi = 0, 0
	}
	lo, hi = math.Floor(lo/step)*step, math.Ceil(hi/step)*step
	if hi <= lo {
		hi = lo + step
	}
	return axis{lo, hi, from, to}
}

func drawPanel(b *strings.Builder, m measure, engines []string, runs []*PSIReport) {
	// A logarithm knows no zero: what took or sent nothing is left out.
	shown := slices.DeleteFunc(slices.Clone(runs), func(r *PSIReport) bool { return m.of(r) <= 0 || r.NSender <= 0 })
	var xs, ys []float64
	for _, r := range shown {
		xs, ys = append(xs, float64(r.NSender)), append(ys, m.of(r))
	}
	x := newAxis(xs, 4, marginLeft, panelWidth-marginRight)
	y := newAxis(ys, 10, panelHeight-marginEnd, marginTop)
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold">%s, %s</text>`, marginLeft, marginTop-14, html.EscapeString(m.name), m.unit)
	for p := math.Round(x.lo / math.Log10(4)); p <= math.Round(x.hi/math.Log10(4)); p++ {
		at := x.at(math.Pow(4, p))
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`, at, y.from, at, y.to)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">2^%d</text>`, at, y.from+18, int(2*p))
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">items a side</text>`, (x.from+x.to)/2, y.from+36)
	for p := math.Round(y.lo); p <= math.Round(y.hi); p++ {
		at := y.at(math.Pow(10, p))
		fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`, x.from, at, x.to, at)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="end">%g</text>`, x.from-6, at+4, math.Pow(10, p))
	}
	for i, e := range engines {
		colour := colours[i%len(colours)]
		var points []string
		for _, r := range shown {
			if r.Engine == e {
				px, py := x.at(float64(r.NSender)), y.at(m.of(r))
				points = append(points, fmt.Sprintf("%.1f,%.1f", px, py))
				fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s, %d items: %.3g %s</title></circle>`,
					px, py, colour, html.EscapeString(e), r.NSender, m.of(r), m.unit)
			}
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`, strings.Join(points, " "), colour)
	}
}
