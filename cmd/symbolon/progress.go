package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/symbolon/symbolon/protocol"
)

// progress shows on a terminal how far a session is. It writes nothing when w
// is nil.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	stage string
	bytes int64 // on the wire
	began time.Time
	drawn time.Time
	open  bool // a line stands unfinished
}

// newProgress shows progress if there is a terminal to show it on.
func (a *App) newProgress() *progress {
	if !a.terminal || a.json {
		return &progress{}
	}
	return &progress{w: a.stderr}
}

// redraw is the least time between two drawings.
const redraw = 200 * time.Millisecond

// update notes that done of total items of a stage are finished; a total of 0 is
// unknown. It is safe for concurrent use.
func (p *progress) update(stage string, done, total int) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if stage != p.stage {
		p.stage, p.began, p.drawn = stage, now, time.Time{}
	}
	if now.Sub(p.drawn) < redraw && (total == 0 || done < total) {
		return
	}
	p.drawn, p.open = now, true
	line := progressLine(stage, done, total, now.Sub(p.began))
	if p.bytes > 0 {
		line += fmt.Sprintf(", %.1f MB on the wire", float64(p.bytes)/1e6)
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
}

// session notes how far a session is.
func (p *progress) session(at protocol.Progress) {
	p.mu.Lock()
	p.bytes = at.Bytes
	p.mu.Unlock()
	p.update(at.Stage, at.Done, at.Total)
}

// units are what stages count, where it is not items.
var units = map[string]string{"fetching": "MB", stageLookingUp: "people", "evaluating": "match keys", "writing": "steps"}

// progressLine is what update shows.
func progressLine(stage string, done, total int, spent time.Duration) string {
	unit := "items"
	if u, ok := units[stage]; ok {
		unit = u
	}
	switch {
	case total > 0:
		line := fmt.Sprintf("%s: %d of %d %s, %d %%", stage, done, total, unit, int64(done)*100/int64(total))
		if unit == "MB" {
			line = fmt.Sprintf("%s: %.1f of %.1f MB, %d %%", stage, float64(done)/1e6, float64(total)/1e6, int64(done)*100/int64(total))
		}
		if done > 0 && done < total && spent > time.Second {
			left := time.Duration(float64(spent) * float64(total-done) / float64(done))
			line += fmt.Sprintf(", %s left", left.Round(time.Second))
		}
		return line
	case done > 0:
		return fmt.Sprintf("%s: %d %s", stage, done, unit)
	}
	return stage
}

// done removes the line.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.open = false
	}
}
