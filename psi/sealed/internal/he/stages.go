package he

import (
	"sync/atomic"
	"time"
)

// Stage is a part of a scan.
type Stage int

// The stages of a scan, in order.
const (
	StageRotate    Stage = iota // rotations of the query
	StageCheck                  // well-formedness
	StageExpand                 // compact index: transforms of the diagonals
	StageInner                  // products with the index, and their rotations
	StageThreshold              // the window polynomial
	StageAnswer                 // blinding, flooding, packing
	StageCount
)

var stageNames = [StageCount]string{"rotate", "check", "expand", "inner", "threshold", "answer"}

// String returns the stage's name.
func (s Stage) String() string { return stageNames[s] }

// Stages counts the time that goroutines spent in each stage. A nil Stages
// counts nothing.
type Stages [StageCount]atomic.Int64

func (s *Stages) add(at Stage, start time.Time) {
	if s != nil {
		s[at].Add(int64(time.Since(start)))
	}
}

// Add counts the time since start for a stage.
func (s *Stages) Add(at Stage, start time.Time) { s.add(at, start) }
