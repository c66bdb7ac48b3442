package bench

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeRun is a run that took a microsecond an item, or a thousand for dh.
func fakeRun(_ context.Context, engine string, n int) (*PSIReport, error) {
	per := 1e-6
	if engine == "dh" {
		per = 1e-3
	}
	return &PSIReport{
		Engine: engine, Security: "malicious", NSender: n, NReceiver: n, Hits: n / 2, Correct: engine != "broken",
		Wall: per * float64(n), CPU: 2 * per * float64(n), BytesToSender: int64(20 * n), PeakRSS: int64(400 * n),
		CPUModel: "<a & b>", Overlap: 0.5,
	}, nil
}

func TestSeries(t *testing.T) {
	var asked []int
	runs, err := Series(context.Background(), SeriesConfig{
		Engines: []string{"vole", "dh"}, Sizes: []int{1000, 4000, 16000, 64000}, Limit: 20 * time.Second,
		Run: fakeRun, Progress: func(_ string, n int) { asked = append(asked, n) },
	})
	if err != nil {
		t.Fatal(err)
	}
	// 64000 items would take dh 64 s.
	want := []int{1000, 4000, 16000, 64000, 1000, 4000, 16000}
	var got []int
	for _, r := range runs {
		got = append(got, r.NSender)
	}
	if !slices.Equal(got, want) || !slices.Equal(asked, want) {
		t.Errorf("runs of %v items, want %v", got, want)
	}
	if _, err := Series(context.Background(), SeriesConfig{Engines: []string{"broken"}, Sizes: []int{10}, Run: fakeRun}); err == nil {
		t.Error("a wrong result is no error")
	}
	if _, err := Series(context.Background(), SeriesConfig{Sizes: []int{10, 5}}); err == nil {
		t.Error("sizes that do not ascend are no error")
	}
	failed := errors.New("no process")
	_, err = Series(context.Background(), SeriesConfig{Engines: []string{"x"}, Sizes: []int{1},
		Run: func(context.Context, string, int) (*PSIReport, error) { return nil, failed }})
	if !errors.Is(err, failed) {
		t.Errorf("error is %v", err)
	}
}

func TestReportFiles(t *testing.T) {
	runs, err := Series(context.Background(), SeriesConfig{Engines: []string{"vole", "dh", "n<o>"}, Sizes: []int{4096, 65536}, Run: fakeRun})
	if err != nil {
		t.Fatal(err)
	}
	runs[0].BytesToSender = 0 // no place on a logarithmic axis
	for _, rs := range [][]*PSIReport{nil, runs[:1], runs} {
		var md, svg strings.Builder
		if err := WriteMarkdown(&md, rs); err != nil {
			t.Fatal(err)
		}
		if rows := strings.Count(md.String(), "\n| "); rows != len(rs) && rows != len(rs)+1 {
			t.Errorf("%d rows for %d runs:\n%s", rows, len(rs), md.String())
		}
		if err := WriteSVG(&svg, rs); err != nil {
			t.Fatal(err)
		}
		circles := 0
		d := xml.NewDecoder(strings.NewReader(svg.String()))
		for {
			tok, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("the chart is not well-formed: %v", err)
			}
			if s, ok := tok.(xml.StartElement); ok && s.Name.Local == "circle" {
				circles++
			}
		}
		if want := max(0, 4*len(rs)-1); circles != want {
			t.Errorf("%d points for %d runs, want %d", circles, len(rs), want)
		}
		if strings.Contains(svg.String(), "NaN") || strings.Contains(svg.String(), "Inf") {
			t.Error("the chart has points nowhere")
		}
	}
}
