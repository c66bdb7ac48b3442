package bench

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
)

// cpuModel names the processor, by its architecture where the system doesn't
// tell more.
func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range bytes.Lines(info) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.TrimSpace(string(name)) == "model name" {
			return strings.TrimSpace(string(value))
		}
	}
	return runtime.GOARCH
}

func goVersion() string { return runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH }

// commit names the commit the program was built from, with "+dirty" if the
// tree had changes. Programs started with go run carry no commit, so the work
// tree is asked, if we stand in one.
func commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		var revision, dirty string
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				revision = s.Value
			case "vcs.modified":
				if s.Value == "true" {
					dirty = "+dirty"
				}
			}
		}
		if revision != "" {
			return short(revision) + dirty
		}
	}
	head, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	dirty := ""
	if status, err := exec.Command("git", "status", "--porcelain").Output(); err == nil && len(status) > 0 {
		dirty = "+dirty"
	}
	return short(strings.TrimSpace(string(head))) + dirty
}

func short(revision string) string { return revision[:min(12, len(revision))] }
