//go:build unix

package bench

import (
	"runtime"
	"syscall"
	"time"
)

// cpuTime is the processor time of the process, in user and system mode.
func cpuTime() time.Duration {
	u := usage()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakRSS is the most memory that the process has held, in bytes.
func peakRSS() int64 {
	rss := int64(usage().Maxrss)
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return rss
	}
	return rss << 10
}

func usage() (u syscall.Rusage) {
	// It can't fail for the process itself.
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("bench: " + err.Error())
	}
	return u
}
