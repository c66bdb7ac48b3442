//go:build !unix

package bench

import "time"

// cpuTime and peakRSS are 0 where the system offers no getrusage.
func cpuTime() time.Duration { return 0 }

func peakRSS() int64 { return 0 }
