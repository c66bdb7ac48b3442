//go:build !linux

package protocol

import "time"

// threadTime runs f and returns the time that it took, which is its CPU time
// where nothing else runs.
func threadTime(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}
